"""What any way of making frames between two needs: the interface, and the walk through a clip."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from engine.pipelines.base import Frame, PipelineError
from engine.pipelines.smooth.cuts import Small, is_cut, look_at
from engine.text import Text
from engine.timing import Timing

HALF = Fraction(1, 2)


class SmoothError(PipelineError):
    """Frames between a clip's own can't be made."""


def unchecked() -> None:
    """Nobody can cancel."""


class Interpolator(Protocol):
    """Makes the frames of a ``Timing``. It holds a few source frames at a time, never the clip."""

    def frames(
        self, source: Iterable[Frame], timing: Timing, check: Callable[[], None] = unchecked
    ) -> Iterator[Frame]:
        """The output frames in their order, one for each of ``timing.places``.

        Args:
            source: the clip's frames in their order, as many as the timing has; each is taken only
                when it is needed, and must not change any more.
            check: called at least between two frames; what it raises ends the work.

        Returns:
            Frames of the source's size. One at a source frame's own time is that very array, and
            so is each between two that are equal, or cut.

        Raises:
            SmoothError: the source has fewer frames than the timing, or of several sizes.
        """


@dataclass(frozen=True)
class Pair:
    """Two successive source frames and the output frames from the first until before the second.

    ``times``: seconds at which both are. ``shares``: by the output frame's index, as in ``Place``.
    ``moves``: frames between them are to be made; otherwise ``nearer`` has each. Where no source
    frame follows ``before``, ``after`` is the same one, or the clip's first of a loop.
    """

    before: Frame
    after: Frame
    times: tuple[Fraction, Fraction]
    shares: dict[int, Fraction]
    moves: bool

    def nearer(self, share: Fraction) -> Frame:
        """The source frame that is shown where nothing is made. A new scene begins at its time."""
        return self.before if share <= HALF else self.after


def pairs(source: Iterable[Frame], timing: Timing) -> Iterator[Pair]:
    """The clip, pair by pair; the last one begins with the last frame.

    Raises:
        SmoothError: as ``Interpolator.frames``.
    """
    shares: list[dict[int, Fraction]] = [{} for _ in range(timing.sources)]
    for index, place in enumerate(timing.places):
        shares[place.first][index] = place.share
    frames = iter(source)
    first = before = _next(frames, None, 0, timing)
    seen: Small | None = None  # of ``before``, where it was looked at
    for index in range(timing.sources):
        if index + 1 < timing.sources:
            after = _next(frames, before, index + 1, timing)
        else:
            after = first if timing.loop else before
        moves = False
        look: Small | None = None
        if any(shares[index].values()) and not np.array_equal(before, after):
            seen = look_at(before) if seen is None else seen
            look = look_at(after)
            moves = not is_cut(seen, look)
        yield Pair(
            before, after, (timing.times[index], timing.times[index + 1]), shares[index], moves
        )
        before, seen = after, look


def _next(frames: Iterator[Frame], before: Frame | None, index: int, timing: Timing) -> Frame:
    frame = next(frames, None)
    if frame is None:
        few = Text("pipelines.ends_early", index=index, count=timing.sources)
        raise SmoothError(few, Text("pipelines.choose_video"))
    if before is not None and frame.shape != before.shape:
        raise SmoothError(Text("pipelines.several_sizes"), Text("pipelines.choose_video"))
    return frame
