"""Which source frames each frame of a smoother clip lies between, in exact fractions.

Times are ``Fraction`` seconds from the source's first frame, so that a ratio that isn't whole
(16 to 60) or a clip of frames of any length drifts nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from statistics import median

RATES = (24, 30, 32, 48, 60)  # frames a second that a clip can be made to have
MOST_RATE = 240  # frames a second of a slow-motion camera
FINE = Fraction(1, 4)  # of a frame: files round times to their clock's ticks
LEAST_SHOWN = Fraction(1, 1000)  # seconds; a last frame of less isn't made


@dataclass(frozen=True, slots=True)
class Place:
    """Where one output frame lies: ``share`` of the way from the source frame ``first`` to the one
    ``second``, 0 ≤ share < 1. With 0 it is ``first`` itself, and ``second`` says nothing."""

    first: int
    second: int
    share: Fraction


@dataclass(frozen=True)
class Timing:
    """The plan of a smoother clip.

    ``places``: one an output frame; the frame i begins at i / ``rate`` seconds. ``last``: seconds
    that the last one is to be shown, from a thousandth up to 1 / rate and a thousandth. ``times``:
    when each source frame begins, from 0, and at its end the source's duration, which the output
    has, too.
    """

    rate: Fraction
    times: tuple[Fraction, ...]
    places: tuple[Place, ...]
    last: Fraction
    loop: bool = False

    @property
    def sources(self) -> int:
        """How many source frames there are."""
        return len(self.times) - 1

    @property
    def duration(self) -> Fraction:
        return (len(self.places) - 1) / self.rate + self.last


def steady(frames: int, rate: Fraction | int) -> tuple[list[Fraction], Fraction]:
    """The times of so many frames at a fixed rate, and their end."""
    return [Fraction(index) / rate for index in range(frames)], Fraction(frames) / rate


def own_timing(times: Sequence[Fraction], end: Fraction) -> Timing:
    """Each of a source's frames once, at its ``own_rate``; where they don't come in regular
    intervals, each is the one that is due.

    Raises:
        ValueError: as ``timing_of``.
    """
    rate = _steady_rate(times, end)
    if rate is not None:
        marks = tuple(time - times[0] for time in (*times, end))
        places = tuple(Place(index, index + 1, Fraction(0)) for index in range(len(times)))
        return Timing(rate, marks, places, marks[-1] - (len(times) - 1) / rate)
    found = timing_of(times, end, own_rate(times, end))
    return replace(found, places=tuple(replace(one, share=Fraction(0)) for one in found.places))


def own_rate(times: Sequence[Fraction], end: Fraction) -> Fraction:
    """Frames a second: 30000/1001 of a phone's. Where they don't come in regular intervals, what
    the usual one says, as a whole number up to ``MOST_RATE``."""
    rate = _steady_rate(times, end)
    if rate is not None:
        return rate
    usual = median(later - earlier for earlier, later in pairwise((*times, end)))
    return Fraction(min(MOST_RATE, max(1, round(1 / usual))))


def _steady_rate(times: Sequence[Fraction], end: Fraction) -> Fraction | None:
    """At which each frame begins when it is due; None where there is none up to ``MOST_RATE``."""
    rate = (len(times) / (end - times[0])).limit_denominator(1001)
    late = (time - times[0] - index / rate for index, time in enumerate(times))
    if rate > MOST_RATE or any(abs(seconds) * rate >= FINE for seconds in late):
        return None
    return rate


def timing_of(
    times: Sequence[Fraction], end: Fraction, rate: Fraction | int, loop: bool = False
) -> Timing:
    """Plan the frames of a source at another rate.

    The first output frame is the source's first; one at a source frame's very time is that frame;
    one after the last source frame's time is the last source frame, and so is the last output frame
    in any case: a source's last frame may be shorter than an output frame.

    Args:
        times: seconds at which the source's frames begin, rising; the first needn't be 0.
        end: when the last one ends, on the same clock.
        rate: output frames a second.
        loop: after the last source frame the clip goes on to its first one, so that its end meets
            its beginning; the last output frame then lies between the two.

    Raises:
        ValueError: there are no frames, the times don't rise, or the rate isn't above 0.
    """
    rate = Fraction(rate)
    if rate <= 0:
        raise ValueError("The rate has to be above 0.")
    if not times:
        raise ValueError("There are no frames.")
    marks = tuple(time - times[0] for time in (*times, end))
    if any(later <= earlier for earlier, later in pairwise(marks)):
        raise ValueError("The times have to rise, and to end after the last.")
    duration, final = marks[-1], len(times) - 1
    count = max(1, ceil((duration - LEAST_SHOWN) * rate))
    places = []
    first = 0
    for index in range(count):
        time = index / rate
        while marks[first + 1] <= time:
            first += 1
        second = first + 1
        share = (time - marks[first]) / (marks[second] - marks[first])
        if first == final:
            second, share = 0, share if loop else Fraction(0)
        places.append(Place(first, second, share))
    if not loop and count > 1:
        places[-1] = Place(final, 0, Fraction(0))
    return Timing(rate, marks, tuple(places), duration - (count - 1) / rate, loop)
