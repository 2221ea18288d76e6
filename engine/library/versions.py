"""Other versions of a clip: what may be asked for, as a request like any other's, and which clips
are one another's versions.

The request's prompt is the clip's, so that a search finds all of them; its size is what comes out.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.letters import is_blank
from engine.library import reader_process
from engine.library.larger import (
    MOST_LONG,
    Picture,
    by_name,
    by_scale,
    fits,
    largest,
    of_height,
    offered,
)
from engine.library.library import Clip, Library, LibraryError, as_clip
from engine.library.mp4 import shown_name
from engine.library.sources import Sources
from engine.library.video import Video
from engine.presets import ModelPreset, Presets
from engine.request import (
    DIMENSIONS,
    PROMPT_LIMIT,
    ClipRequest,
    Problem,
    RequestError,
    no_rate,
    whole,
)
from engine.text import Said, Text
from engine.timing import RATES, Timing, own_rate, own_timing, timing_of

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


@dataclass(frozen=True)
class Changers:
    """The models that make another version: ``smoother`` one with more frames a second, perhaps
    larger, ``enlarger`` one that is only larger."""

    smoother: ModelPreset
    enlarger: ModelPreset

    @classmethod
    def of(
        cls, presets: Presets, able: Callable[[ModelPreset], bool] = lambda preset: False
    ) -> "Changers":
        """The best that are ``able``; what runs on a processor always is."""
        can = [one for one in presets.changers if one.runs_on == "cpu" or able(one)]
        enlarger = next(preset for preset in can if preset.enlarges)
        return cls(next(preset for preset in can if not preset.enlarges), enlarger)

    def by(self, smoother: bool, larger: bool) -> ModelPreset:
        """What makes a version that is so. Either makes frames in between, and larger pictures of
        some kind."""
        on_processor = self.enlarger.runs_on == "cpu"
        if not larger or (smoother and on_processor and self.smoother.runs_on == "nvidia"):
            return self.smoother
        return self.enlarger


@dataclass(frozen=True)
class Wanted:
    """What another version shall have; what is None stays as the original has it."""

    fps: int | None = None
    picture: Picture | None = None


OWN = Wanted()  # nothing else than the original has


def has(clip: Clip) -> Wanted:
    """What ``clip`` is another version by, so that a version of it keeps that."""
    request = clip.request
    if request.source is None:
        return OWN
    return Wanted(request.fps, Picture(request.height, request.width))


@dataclass(frozen=True)
class Asked:
    """What somebody asks of another version, unchecked: frames a second, and a height or a shorter
    side in pixels, or how many times as large. With nothing it is twice as many frames."""

    fps: object = None
    height: object = None
    scale: object = None
    side: object = None

    def request(self, original: Original, changers: Changers, before: Wanted) -> ClipRequest:
        """For ``original``, made by one of ``changers``.

        Args:
            before: what the clip that was chosen has; where nothing else is asked it keeps that.

        Raises:
            RequestError: that isn't a rate, or more than the clip has, or it can't be that large;
                or what comes out is too small or too wide.
        """
        video = original.video
        if self.height is not None and self.scale is not None:
            raise RequestError((Problem("scale", Text("request.height_or_scale")),))
        larger = any(one is not None for one in (self.height, self.scale, self.side))
        fps = before.fps
        if self.fps is not None or not larger:
            fps = _rate(video, next_rate(video) if self.fps is None else self.fps)
        picture = self._picture(video) if larger else before.picture
        if picture == Picture(video.height, video.width):
            picture = None
        return _checked(original, changers, Wanted(fps, picture))

    def _picture(self, video: Video) -> Picture:
        """Raises RequestError: it can't be that large."""
        picture = self._asked(video)
        if picture is not None and fits(video, picture):
            return picture
        field, value = "height", self.height if self.side is None else self.side
        if self.scale is not None:
            field, value = "scale", self.scale
        most, sides = largest(video), {"width": video.width, "height": video.height}
        if most is None:
            raise RequestError((Problem(field, Text("request.as_large", **sides)),))
        wrong = {"field": Text(f"request.field_{field}"), "value": repr(str(value)[:40])}
        told = Text("request.not_so_large", **wrong, **sides, most=most.height)
        number = whole(self.height) or 0
        nearest = min(offered(video) or [most], key=lambda one: abs(one.height - number))
        raise RequestError((Problem(field, told, nearest.height if field == "height" else None),))

    def _asked(self, video: Video) -> Picture | None:
        """None where it isn't a size."""
        if self.scale is not None:
            try:
                times = float(str(self.scale))  # as a fraction 1e99999999 would be a long number
            except ValueError:
                return None
            return by_scale(video, Fraction(str(times))) if 1 < times < MOST_LONG else None
        number = whole(self.height if self.side is None else self.side)
        if number is None or not 0 < number <= MOST_LONG:
            return None
        return of_height(video, number) if self.side is None else by_name(video, number)


def _rate(video: Video, rate: object) -> int:
    """Raises RequestError: that isn't a rate, or ``video`` has it already."""
    number = whole(rate)
    if rate is not None and number not in RATES:
        raise RequestError((no_rate(rate),))
    own = own_rate(video.times, video.end)
    if number is None or not is_more(number, own):
        told = Text("request.as_smooth", fps=round(float(own), 1))
        raise RequestError((Problem("fps", told, next_rate(video)),))
    return number


def _checked(original: Original, changers: Changers, wanted: Wanted) -> ClipRequest:
    """Raises RequestError: what comes out is too small, too wide, or too long."""
    model = changers.by(bool(wanted.fps), wanted.picture is not None)
    request = version_of(original, model.id, wanted)
    for field in DIMENSIONS:
        limits = getattr(model.limits, field)
        side = getattr(request, field)
        if not limits.min <= side <= limits.max:
            told = Text("request.no_version", field=Text(f"request.field_{field}"), value=side)
            raise RequestError((Problem(field, told),))
    return request


def version_of(original: Original, model: str, wanted: Wanted) -> ClipRequest:
    """The request, whatever the clip has, by ``model``."""
    video, picture = original.video, wanted.picture
    fps = wanted.fps or whole_rate(video)
    return ClipRequest(
        prompt=original.prompt,
        height=picture.height if picture else video.height,
        width=picture.width if picture else video.width,
        frames=len(timing_for(video, fps, picture is not None).places),
        seed=original.seed,
        model=model,
        source=original.sha256,
        fps=fps,
    )


def timing_for(video: Video, fps: int, larger: bool, loop: bool = False) -> Timing:
    """When each frame of a version is that has so many a second; one that is made ``larger`` keeps
    the frames of ``video`` where that has as many. A ``loop`` has as many, but others at its end.
    """
    if larger and fps == whole_rate(video):
        return own_timing(video.times, video.end)
    return timing_of(video.times, video.end, fps, loop)


def whole_rate(video: Video) -> int:
    """The nearest whole number to its frames a second."""
    return max(1, round(own_rate(video.times, video.end)))


def is_more(rate: int, own: Fraction) -> bool:
    """Whether so many frames a second are more than ``own``: a phone's 30 are 29.97, and 30 of
    them no more."""
    return rate > own * Fraction(101, 100)


def next_rate(video: Video) -> int | None:
    """The lowest rate of twice as many frames and more, else the highest; None where ``video`` has
    as many."""
    own = own_rate(video.times, video.end)
    smoother = [rate for rate in RATES if is_more(rate, own)]
    twice = (rate for rate in smoother if rate >= 2 * own * Fraction(99, 100))
    return next(twice, smoother[-1] if smoother else None)


def versions(library: Library, clip: Clip) -> list[Clip]:
    """``clip`` and all that are versions of the same one, oldest first; those in the trash aren't
    told."""
    if clip.root is None:
        return [clip]
    rows = library.store.rows(
        "select * from clips where coalesce(family, digest) = ? and trashed is null"
        " and missing = 0 order by created, id",
        (clip.root,),
    )
    found = [as_clip(row) for row in rows]
    return found if any(one.id == clip.id for one in found) else [clip]


def told_of(receipt: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """What the receipt of another version keeps of the clip that it was made of: its file's
    ``name`` and, where it has a ``receipt``, how to make it again. Of a version's version that is
    the first one."""
    if receipt is None:
        return {"name": name}
    if "source" in receipt:
        return {**receipt["source"], "name": name}
    return {"name": name, **{part: receipt[part] for part in ("request", "seed", "model")}}
