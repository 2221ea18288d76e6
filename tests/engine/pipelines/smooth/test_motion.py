"""Frames in between by FFmpeg: exact where a source frame is, near the truth elsewhere."""

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from engine.pipelines.base import Cancelled, Frame
from engine.pipelines.smooth import motion
from engine.pipelines.smooth.base import SmoothError
from engine.pipelines.smooth.motion import RUN, Motion
from engine.timing import RATES, steady, timing_of
from tests.engine.pipelines.smooth.worlds import MOVING, begun, clip, psnr

SCENE = MOVING[0]


def smooth(frames: list[Frame], rate: int, loop: bool = False, threads: int = 1) -> list[Frame]:
    timing = timing_of(*steady(len(frames), 16), rate, loop)
    made = list(Motion(threads).frames(frames, timing))
    assert len(made) == len(timing.places)
    return made


@pytest.mark.parametrize("rate", RATES)
def test_source_frames_come_through_to_the_bit(rate: int) -> None:
    frames = clip(SCENE, RUN + 3)
    timing = timing_of(*steady(len(frames), 16), rate)
    for made, place in zip(smooth(frames, rate), timing.places, strict=True):
        assert made.shape == frames[0].shape
        if place.share == 0:
            assert np.array_equal(made, frames[place.first])
        else:
            assert not np.array_equal(made, frames[place.first])


def middles(rate: int) -> Iterator[tuple[float, float]]:
    """Of each scene's frames in between, the decibels from the truth, and those of a blend."""
    fine = {24: 3, 32: 2, 60: 15}[rate]  # steps of a source frame in which these lie
    for shown in MOVING:
        truth = begun(shown, 6 * fine + 1, of=24 * fine + 1)
        frames = truth[::fine]
        timing = timing_of(*steady(len(frames), 16), rate)
        ours, blends = [], []
        for made, place in zip(smooth(frames, rate), timing.places, strict=True):
            if place.share:
                true = truth[int((place.first + place.share) * fine)]
                first, second = (frames[at].astype(float) for at in (place.first, place.second))
                blend = np.rint(first + (second - first) * float(place.share)).astype(np.uint8)
                ours.append(psnr(made, true))
                blends.append(psnr(blend, true))
        yield float(np.mean(ours)), float(np.mean(blends))


@pytest.mark.parametrize("rate", [24, 32, 60])
def test_they_are_nearer_to_the_truth_than_blends(rate: int) -> None:
    gains = [ours - blend for ours, blend in middles(rate)]
    assert np.mean(gains) >= 5
    assert min(gains) >= -0.5, "of what hardly moves a blend has 50 dB"


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_no_colour_changes(colour: str) -> None:
    frames = clip(MOVING[0], 3)
    channel = ("red", "green", "blue").index(colour)
    for frame in frames:
        frame[..., [other for other in range(3) if other != channel]] = 0
    for made in smooth(frames, 32):
        others = np.delete(made, channel, axis=-1)
        assert not others.any()


def test_still_stretches_come_through_to_the_bit() -> None:
    frames = clip(SCENE, 4)
    still = [frames[0]] * 3 + frames + [frames[-1]] * 3
    made = smooth(still, 32)
    assert all(np.array_equal(each, frames[0]) for each in made[:7])
    assert all(np.array_equal(each, frames[-1]) for each in made[-7:])
    assert not np.array_equal(made[7], frames[0])


def test_nothing_is_made_across_a_cut() -> None:
    one, other = clip(MOVING[0], 4), clip(MOVING[3], 4)
    made = smooth(one + other, 48)
    among = {frame.tobytes() for frame in made[9:12]}
    assert among == {one[-1].tobytes(), other[0].tobytes()}
    assert np.array_equal(made[10], one[-1])
    assert np.array_equal(made[11], other[0]), "the nearer one"


def test_the_end_of_a_loop_meets_its_beginning() -> None:
    there = clip(MOVING[3], 9)
    loop = there + there[-2:0:-1]
    made = smooth(loop, 32, loop=True)
    assert len(made) == 2 * len(loop)
    middle = clip(MOVING[3], 17)[1]
    assert psnr(made[-1], middle) > 35
    assert np.array_equal(smooth(loop, 32)[-1], loop[-1]), "what is no loop ends with its end"


def test_frames_of_any_length() -> None:
    truth = clip(MOVING[4], 49)
    at = [0, 3, 11, 12, 24, 25, 40, 48]
    times = [Fraction(index, 48) for index in at]
    timing = timing_of(times, Fraction(50, 48), 48)
    made = list(Motion(1).frames([truth[index] for index in at], timing))
    for index, frame in enumerate(made[:-1]):
        if index in at:
            assert np.array_equal(frame, truth[index])
        elif index < 48:
            assert psnr(frame, truth[index]) > 24
    assert np.array_equal(made[-1], truth[48])


def test_two_frames_at_almost_the_same_time() -> None:
    frames = clip(SCENE, 4)
    times = [Fraction(0), Fraction(1, 16), Fraction(1, 16) + Fraction(1, 10**9), Fraction(1, 8)]
    timing = timing_of(times, Fraction(3, 16), 60)
    assert len(list(Motion(1).frames(frames, timing))) == len(timing.places)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 3), (33, 47), (16, 200)])
def test_any_size_will_do(height: int, width: int) -> None:
    random = np.random.default_rng(0)
    frames = [
        np.clip(128 + random.integers(-9, 9, (height, width, 3)), 0, 255).astype(np.uint8)
        for _ in range(3)
    ]
    assert [frame.shape for frame in smooth(frames, 32)] == [(height, width, 3)] * 6


def test_threads_change_no_bit() -> None:
    frames = clip(MOVING[2], 2 * RUN + 4, 48, 64)
    one, three = smooth(frames, 24), smooth(frames, 24, threads=3)
    assert all(itertools.starmap(np.array_equal, zip(one, three, strict=True)))


def test_a_few_frames_are_held_at_a_time() -> None:
    frames = clip(MOVING[2], 6 * RUN, 32, 48)
    taken = 0

    def source() -> Iterator[Frame]:
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    timing = timing_of(*steady(len(frames), 16), 32)
    made = Motion(1).frames(source(), timing)
    for index, _ in enumerate(made):
        assert taken <= index // 2 + 4 * RUN


def test_a_cancel_ends_it_before_the_next_frame() -> None:
    frames = clip(SCENE, 2 * RUN)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 5:
            raise Cancelled

    timing = timing_of(*steady(len(frames), 16), 32)
    with pytest.raises(Cancelled):
        list(Motion(2).frames(frames, timing, check))
    assert asked == 6


def test_a_source_that_is_too_short_or_changes_its_size_is_refused() -> None:
    frames = clip(SCENE, 4)
    timing = timing_of(*steady(5, 16), 32)
    with pytest.raises(SmoothError, match="after 4 of 5 frames"):
        list(Motion(1).frames(frames, timing))
    with pytest.raises(SmoothError, match="several sizes"):
        list(Motion(1).frames([*frames, frames[0][:-1]], timing))


def test_without_the_filter_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "is_here", lambda: False)
    with pytest.raises(SmoothError, match="minterpolate"):
        Motion()
