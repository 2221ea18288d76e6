"""Opens strangers' files in a short child process: MP4s for receipts, stills and how alike two are,
and pictures.

The page's process would pay 30 MB for PyAV, for files that it hardly ever opens; and a file made
to hurt FFmpeg takes only the child with it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from engine.errors import HeadroomError
from engine.home import PROJECT
from engine.library import reader_limits
from engine.library.mp4 import (
    ClipError,
    frame_of,
    poster_of,
    read_receipt,
    shape_of,
    shown_name,
)
from engine.library.receipt import checked
from engine.library.video import Video, look_at
from engine.pictures.plain import OTHER, PictureError, Seen, make_plain
from engine.text import NOTHING, Said, Text, as_text

BATCH = 200
# Seconds for the child's start; reader_limits has those for each file.
PATIENCE = 30.0
READY = b"ready"  # the child's first line
NO_WINDOW = 0x0800_0000  # Windows would flash a console

IDENTICAL = 100.0  # decibels, told in place of infinitely many
What = Literal["receipts", "whole", "posters", "likeness", "picture", "frame", "shape", "video"]


@dataclass(frozen=True)
class Likeness:
    """``psnr`` in decibels, of all pictures' errors together; ``ssim`` from 0 to 1, their mean;
    ``frames``: how many both clips have."""

    psnr: float
    ssim: float
    frames: int


@dataclass(frozen=True)
class Shape:
    """Of a clip: ``frames`` that really decode, and their size in pixels."""

    frames: int
    width: int
    height: int


class ReaderError(HeadroomError):
    """The child can't even begin, so that nothing is known of any file."""


def receipts(paths: Sequence[Path]) -> dict[Path, dict[str, Any] | ClipError]:
    """The checked receipt inside each file, or why there is none.

    Raises:
        ReaderError: the child can't begin.
    """
    return {path: _taken(answer) for path, answer in _answers("receipts", paths).items()}


def _taken(answer: dict[str, Any]) -> dict[str, Any] | ClipError:
    if "receipt" in answer:
        receipt: dict[str, Any] = answer["receipt"]
        return receipt
    return _error(answer)


def _error(refusal: dict[str, Any]) -> ClipError:
    return ClipError(Text.from_json(refusal["sentence"]), Text.from_json(refusal["remedy"]))


def _calling(sentence: Text, name: Said) -> Text:
    """``sentence`` with its file as its owner calls it."""
    told = sentence.to_json()
    if "file" in told["values"]:
        told["values"]["file"] = as_text(name).to_json()
    return Text.from_json(told)


def receipt_of(path: Path, name: Said) -> dict[str, Any]:
    """The checked receipt in the file at ``path``, which its owner calls ``name``, with all that
    we don't know of: command line and page read a file here, and here only, so that both say the
    same.

    Raises:
        ClipError: there is none, or it isn't what a Headroom writes.
        ReaderError: the child can't begin.
    """
    answer = _taken(_answers("whole", [path])[path])
    if not isinstance(answer, ClipError):
        return answer
    called = shown_name(name) if isinstance(name, str) else name
    raise ClipError(_calling(answer.sentence, called), answer.remedy)


def posters(stills: Mapping[Path, Path]) -> None:
    """Make a still of each of the clips, at the place that is given for it; where that can't be,
    there is none.

    Raises:
        ReaderError: the child can't begin.
    """
    _answers("posters", list(stills), stills)


def likeness(one: Path, other: Path) -> Likeness:
    """How alike the two clips are.

    Raises:
        ClipError: they have other sizes, or one has no pictures.
        ReaderError: the child can't begin.
    """
    answer = _answers("likeness", [one], {one: other})[one]
    if "likeness" in answer:
        return Likeness(**answer["likeness"])
    raise _error(answer)


def shape(clip: Path) -> Shape:
    """What ``clip`` holds, all of it decoded.

    Raises:
        ClipError: it isn't an MP4, or can't be decoded.
        ReaderError: the child can't begin.
    """
    answer = _answers("shape", [clip])[clip]
    if "shape" in answer:
        return Shape(**answer["shape"])
    raise _error(answer)


def video(clip: Path, name: Said = "") -> Video:
    """What the MP4 at ``clip``, any program's, holds to be changed. ``name``: as sentences call it.

    Raises:
        ClipError: it isn't one, can't be decoded, or is too long or too large.
        ReaderError: the child can't begin.
    """
    answer = _answers("video", [clip])[clip]
    if "video" in answer:
        return Video.from_json(answer["video"])
    why = _error(answer).sentence
    raise ClipError(_calling(why, name) if name else why, Text("library.use_other_video"))


def picture(source: Path, place: Path, name: Said) -> Seen:
    """Write the plain copy of the picture at ``source``, which sentences call ``name``, to
    ``place``.

    Raises:
        PictureError: it isn't a picture that can be used.
        ReaderError: the child can't begin.
    """
    answer = _answers("picture", [source], {source: place})[source]
    if "picture" in answer:
        return Seen(**answer["picture"])
    raise PictureError(_calling(_error(answer).sentence, name), Text.from_json(answer["remedy"]))


def frame(clip: Path, place: Path, index: int) -> None:
    """Write the picture with that ``index`` (from 0) of the clip to ``place``, as a PNG; the last
    one where it has no so many.

    Raises:
        ClipError: it can't be decoded.
        ReaderError: the child can't begin.
    """
    answer = _answers("frame", [clip], {clip: place}, index)[clip]
    if "sentence" in answer:
        raise _error(answer)


def _answers(
    what: What,
    paths: Sequence[Path],
    others: Mapping[Path, Path] | None = None,
    index: int = 0,
) -> dict[Path, dict[str, Any]]:
    found: dict[Path, dict[str, Any]] = {}
    left = list(paths)
    while left:
        batch = left[:BATCH]
        answers = _ask(what, [(path, (others or {}).get(path)) for path in batch], index)
        found |= zip(batch, answers, strict=False)
        left = left[len(answers) :]
        if len(answers) < len(batch):  # this one ended the child, or it is still at it
            name = shown_name(left[0].name)
            damaged = Text("library.damaged", file=name), Text("library.use_ours")
            if what == "picture":
                damaged = Text("pictures.damaged", file=name), OTHER
            found[left[0]] = _refusal(*damaged)
            left = left[1:]
    return found


def _ask(what: What, paths: Sequence[tuple[Path, Path | None]], index: int) -> list[dict[str, Any]]:
    """The child's answers, in order; fewer than there are paths if it ended early.

    Args:
        paths: each with the place for its still, or with what it is held against.
        index: which picture of a clip, from 0.
    """
    command = [sys.executable, "-m", "engine.library.reader_process", what, str(index)]
    orders = json.dumps(
        [(str(path.absolute()), other and str(other.absolute())) for path, other in paths]
    ).encode()
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            creationflags=NO_WINDOW if sys.platform == "win32" else 0,
        )
    except OSError as error:
        fails = Text("library.reader_fails", reason=str(error))
        raise ReaderError(fails, Text("library.try_again")) from error
    with reader_limits.watched(child, PATIENCE + _seconds(what) * len(paths)):
        said, _ = child.communicate(orders)
    begun, *lines = said[: said.rfind(b"\n") + 1].splitlines() or [b""]
    if begun != READY:
        raise ReaderError(Text("library.reader_silent"), Text("library.ask_doctor"))
    return [json.loads(line) for line in lines]


def _seconds(what: What) -> float:
    """That one file may take."""
    return reader_limits.SECONDS_WHOLE if what == "shape" else reader_limits.SECONDS_EACH


def _refusal(sentence: Text, remedy: Text = NOTHING) -> dict[str, Any]:
    """Why a file gives nothing, as it crosses the pipe."""
    return {"sentence": sentence.to_json(), "remedy": remedy.to_json()}


# ---- the child -----------------------------------------------------------------------------


def _look(what: What, path: Path, other: Path | None, index: int) -> dict[str, Any]:
    file = shown_name(path.name)
    try:
        with reader_limits.timed(_seconds(what)):
            if what == "posters" and other is not None:
                _make_poster(path, other)
                return {}
            if what == "likeness" and other is not None:
                from engine.library.likeness import likeness

                return {"likeness": asdict(likeness(path, other))}
            if what == "shape":
                return {"shape": asdict(Shape(*shape_of(path)))}
            if what == "video":
                return {"video": look_at(path).to_json()}
            if what == "frame" and other is not None:
                frame_of(path, other, index)
                return {}
            if what == "picture" and other is not None:
                return {"picture": asdict(make_plain(path, other, file))}
            raw = read_receipt(path)
            receipt = checked(raw, file)
            if what == "receipts":  # for a row, which finds them again in the file
                receipt.pop("pictures", None)
                return {"receipt": receipt}
            return {"receipt": receipt | raw}
    except (ClipError, PictureError) as error:
        return _refusal(error.sentence, error.remedy)
    except MemoryError:
        if what == "picture":
            return _refusal(Text("pictures.takes_memory", file=file), OTHER)
        return _refusal(Text("library.takes_memory", file=file), Text("library.use_ours"))
    except Exception as error:  # the other files are read all the same
        reason = getattr(error, "strerror", None) or type(error).__name__
        return _refusal(Text("library.cant_read", file=file, reason=reason))


def _make_poster(path: Path, poster: Path) -> None:
    """Whole or not at all, because the page may ask for it this moment."""
    half = poster.with_name(f".still-{os.getpid()}.jpg")
    try:
        poster_of(path, half)
        half.replace(poster)
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)


def main(what: What, index: int) -> None:
    if what != "picture":
        import av  # noqa: F401 (so that a broken installation isn't blamed on the first file)

    reader_limits.limit_memory()
    answers = sys.stdout.buffer  # whatever PYTHONIOENCODING says
    answers.write(READY + b"\n")
    for path, other in json.load(sys.stdin.buffer):
        # ASCII, so that half a character in a receipt can't end the stream.
        answers.write(
            json.dumps(_look(what, Path(path), other and Path(other), index)).encode() + b"\n"
        )
        answers.flush()


if __name__ == "__main__":
    main(cast(What, sys.argv[1]), int(sys.argv[2]))
