"""Other versions of a clip: what may be asked for, as a request like any other's, and which clips
are one another's versions.

The request's prompt is the clip's, so that a search finds all of them; its size is what comes out.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.letters import is_blank
from engine.library import reader_process
from engine.library.library import Clip, Library, LibraryError, as_clip
from engine.library.mp4 import shown_name
from engine.library.sources import Sources
from engine.library.video import Video
from engine.presets import ModelPreset
from engine.request import (
    PROMPT_LIMIT,
    ClipRequest,
    Problem,
    RequestError,
    no_rate,
    whole,
)
from engine.text import Said, Text
from engine.timing import RATES, timing_of

UNKNOWN_SEED = 0  # of a video that another program made


@dataclass(frozen=True)
class Original:
    """What another version is made of: its file's SHA-256, what it holds, the words that it is
    found by, and its seed."""

    sha256: str
    video: Video
    prompt: str
    seed: int = UNKNOWN_SEED


def original_of(library: Library, clip: Clip) -> Original:
    """``clip`` of the library; of one that was made smoother that from which it was, where it is
    here: frames that were computed are no better for being computed from again.

    Raises:
        LibraryError: its file is gone.
        ClipError: it can't be decoded, or is too long or too large.
        ReaderError: the reader can't begin.
    """
    source = clip.request.source and library.with_digest(clip.request.source)
    if source:
        return original_of(library, source)
    digest = clip.identity.digest or library.learn(clip)
    if digest is None or not library.lies_here(clip):
        raise LibraryError(Text("library.gone"), Text("library.reload"))
    video = reader_process.video(library.place(clip), clip.file)
    return Original(digest, video, clip.request.prompt, clip.receipt["seed"])


def original_at(sources: Sources, file: Path, name: Said = "") -> Original:
    """Any program's video at ``file``, which is kept from now on; raises as ``Sources.take`` and
    ``reader_process.video``."""
    called = name or shown_name(file.name)
    video = reader_process.video(file, called)  # before it is copied
    words = unicodedata.normalize("NFC", Path(str(called)).stem)
    words = "".join(letter for letter in words if letter.isprintable()).strip()
    return Original(
        sources.take(file, called), video, "video" if is_blank(words) else words[:PROMPT_LIMIT]
    )


def smoothed(original: Original, preset: ModelPreset, rate: object) -> ClipRequest:
    """The request for ``original`` with ``rate`` frames a second, by what ``preset`` runs.

    Args:
        rate: None where ``next_rate`` knows none.

    Raises:
        RequestError: that isn't a rate, the clip has it already, or is too small or too wide.
    """
    video, number = original.video, whole(rate)
    if rate is not None and number not in RATES:
        raise RequestError((no_rate(rate),))
    if number is None or not is_smoother(video, number):
        told = Text("request.as_smooth", fps=round(float(rate_of(video)), 1))
        raise RequestError((Problem("fps", told, next_rate(video)),))
    for field, side in (("height", video.height), ("width", video.width)):
        limits = getattr(preset.limits, field)
        if not limits.min <= side <= limits.max:
            told = Text("request.no_version", field=Text(f"request.field_{field}"), value=side)
            raise RequestError((Problem(field, told),))
    return version_of(original, preset.id, number)


def version_of(original: Original, model: str, fps: int) -> ClipRequest:
    """The request, whatever the clip has: with ``fps`` frames a second by ``model``."""
    video = original.video
    return ClipRequest(
        prompt=original.prompt,
        height=video.height,
        width=video.width,
        frames=len(timing_of(video.times, video.end, fps).places),
        seed=original.seed,
        model=model,
        source=original.sha256,
        fps=fps,
    )


def rate_of(video: Video) -> Fraction:
    """Its frames a second, on the whole."""
    return len(video.times) / video.end


def is_smoother(video: Video, rate: int) -> bool:
    """Whether so many frames a second are more than ``video`` has, or would be if it were steady:
    a phone's 30 are 29.97, and 30 of them no more."""
    return rate > rate_of(video) * Fraction(101, 100)


def next_rate(video: Video) -> int | None:
    """The lowest rate of twice as many frames and more, else the highest; None where ``video`` has
    as many."""
    smoother = [rate for rate in RATES if is_smoother(video, rate)]
    twice = (rate for rate in smoother if rate >= 2 * rate_of(video) * Fraction(99, 100))
    return next(twice, smoother[-1] if smoother else None)


def versions(library: Library, clip: Clip) -> list[Clip]:
    """``clip`` and all that are versions of the same one, oldest first; those in the trash aren't
    told."""
    root = root_of(library, clip)
    if root is None:
        return [clip]
    rows = library.store.rows(
        "with recursive family(digest) as (values(?) union select clips.digest from clips join"
        " family on clips.receipt ->> '$.request.source' = family.digest)"
        " select * from clips where digest in family and trashed is null and missing = 0"
        " order by created, id",
        (root,),
    )
    found = [as_clip(row) for row in rows]
    return found if any(one.id == clip.id for one in found) else [clip]


def root_of(library: Library, clip: Clip) -> str | None:
    """The SHA-256 of the clip that ``clip`` is a version of, in the end; its own where it is none.
    The file needn't be here any more."""
    digest, source = clip.identity.digest, clip.request.source
    seen = {digest}
    while source is not None and source not in seen:
        seen.add(source)
        digest = source
        rows = library.store.rows(
            "select receipt ->> '$.request.source' as source from clips where digest = ?", (source,)
        )
        source = rows[0]["source"] if rows else None
    return digest


def told_of(receipt: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """What the receipt of another version keeps of the clip that it was made of: its file's
    ``name`` and, where it has a ``receipt``, how to make it again. Of a version's version that is
    the first one."""
    if receipt is None:
        return {"name": name}
    if "source" in receipt:
        return {**receipt["source"], "name": name}
    return {"name": name, **{part: receipt[part] for part in ("request", "seed", "model")}}
