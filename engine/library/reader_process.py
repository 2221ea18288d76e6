"""Opens MP4s in a short child process: receipts out of them, stills from them.

The page's process would pay 30 MB for PyAV, for files that it hardly ever opens; and a file made
to hurt FFmpeg takes only the child with it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engine.errors import HeadroomError
from engine.home import PROJECT
from engine.library.files import still_of
from engine.library.mp4 import ClipError, poster_of, read_receipt
from engine.library.receipt import checked
from engine.patience import run
from engine.text import NOTHING, Text

BATCH = 200
# Seconds for the child's start and for each file. A receipt takes some thousandths of one, a still
# of five seconds at 1280 × 720 about one.
PATIENCE, PATIENCE_EACH = 30.0, 5.0
READY = b"ready"  # the child's first line
NO_WINDOW = 0x0800_0000  # Windows would flash a console

What = Literal["receipts", "posters"]


class ReaderError(HeadroomError):
    """The child can't even begin, so that nothing is known of any file."""


def receipts(paths: Sequence[Path]) -> dict[Path, dict[str, Any] | ClipError]:
    """The checked receipt inside each file, or why there is none.

    Raises:
        ReaderError: the child can't begin.
    """
    found: dict[Path, dict[str, Any] | ClipError] = {}
    for path, answer in _answers("receipts", paths).items():
        if "receipt" in answer:
            found[path] = answer["receipt"]
        else:
            found[path] = ClipError(
                Text.from_json(answer["sentence"]), Text.from_json(answer["remedy"])
            )
    return found


def posters(paths: Sequence[Path]) -> None:
    """Lay a still beside each of the clips; where that can't be, there is none.

    Raises:
        ReaderError: the child can't begin.
    """
    _answers("posters", paths)


def _answers(what: What, paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    found: dict[Path, dict[str, Any]] = {}
    left = list(paths)
    while left:
        batch = left[:BATCH]
        answers = _ask(what, batch)
        found |= zip(batch, answers, strict=False)
        left = left[len(answers) :]
        if len(answers) < len(batch):  # this one ended the child, or it is still at it
            damaged = Text("library.damaged", file=left[0].name)
            found[left[0]] = _refusal(damaged, Text("library.use_ours"))
            left = left[1:]
    return found


def _ask(what: What, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The child's answers, in order; fewer than there are paths if it ended early."""
    command = [sys.executable, "-m", "engine.library.reader_process", what]
    orders = json.dumps([str(path) for path in paths]).encode()
    try:
        said = run(
            command,
            PATIENCE + PATIENCE_EACH * len(paths),
            orders,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            creationflags=NO_WINDOW if sys.platform == "win32" else 0,
        ).stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    except OSError as error:
        fails = Text("library.reader_fails", reason=str(error))
        raise ReaderError(fails, Text("library.try_again")) from error
    begun, *lines = said[: said.rfind(b"\n") + 1].splitlines() or [b""]
    if begun != READY:
        raise ReaderError(Text("library.reader_silent"), Text("library.ask_doctor"))
    return [json.loads(line) for line in lines]


def _refusal(sentence: Text, remedy: Text = NOTHING) -> dict[str, Any]:
    """Why a file gives nothing, as it crosses the pipe."""
    return {"sentence": sentence.to_json(), "remedy": remedy.to_json()}


# ---- the child -----------------------------------------------------------------------------


def _look(what: What, path: Path) -> dict[str, Any]:
    try:
        with path.open("rb"):
            pass  # one that may not be read is no damaged one
        if what == "receipts":
            return {"receipt": checked(read_receipt(path), path.name)}
        _make_poster(path)
    except ClipError as error:
        return _refusal(error.sentence, error.remedy)
    except Exception as error:  # the other files are read all the same
        reason = getattr(error, "strerror", None) or type(error).__name__
        return _refusal(Text("library.cant_read", file=path.name, reason=reason))
    return {}


def _make_poster(path: Path) -> None:
    """Whole or not at all, because the page may ask for it this moment."""
    poster = still_of(path)
    half = poster.with_name(f".still-{os.getpid()}.jpg")  # the clip's name may be as long as can be
    try:
        poster_of(path, half)
        half.replace(poster)
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)


def main(what: What) -> None:
    import av  # noqa: F401 (so that a broken installation isn't blamed on the first file)

    sys.stdout.write(f"{READY.decode()}\n")
    for path in json.load(sys.stdin):
        # ASCII, so that half a character in a receipt can't end the stream.
        sys.stdout.write(json.dumps(_look(what, Path(path))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main("posters" if sys.argv[1] == "posters" else "receipts")
