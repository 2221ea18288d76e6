"""Plans of smoother clips, in exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.timing import (
    LEAST_SHOWN,
    MOST_RATE,
    RATES,
    Timing,
    own_timing,
    steady,
    timing_of,
)

LENGTHS = st.lists(
    st.fractions(Fraction(1, 240), 2, max_denominator=90_000), min_size=1, max_size=20
)


def of_lengths(lengths: list[Fraction], rate: int, loop: bool = False) -> Timing:
    """The plan of frames that are shown for so many seconds each, from an odd time on."""
    times = [Fraction(7, 3) + sum(lengths[:index]) for index in range(len(lengths) + 1)]
    return timing_of(times[:-1], times[-1], rate, loop)


def shares(timing: Timing, most: int = 9999) -> list[tuple[int, str]]:
    return [(place.first, str(place.share)) for place in timing.places[:most]]


def test_twice_as_many_frames_a_second() -> None:
    timing = timing_of(*steady(3, 16), 32)
    assert shares(timing) == [(0, "0"), (0, "1/2"), (1, "0"), (1, "1/2"), (2, "0"), (2, "0")]
    assert timing.last == Fraction(1, 32)


def test_ratios_that_arent_whole() -> None:
    to_24 = timing_of(*steady(4, 16), 24)
    assert shares(to_24) == [
        *((0, "0"), (0, "2/3"), (1, "1/3")),
        *((2, "0"), (2, "2/3"), (3, "0")),
    ]
    to_60 = timing_of(*steady(81, 16), 60)
    assert shares(to_60, 5) == [(0, "0"), (0, "4/15"), (0, "8/15"), (0, "4/5"), (1, "1/15")]
    assert (len(to_60.places), to_60.last) == (304, Fraction(1, 80))


def test_a_loop_goes_on_to_its_beginning() -> None:
    timing = timing_of(*steady(3, 16), 32, loop=True)
    assert timing.places[-1].second == 0
    assert shares(timing)[-2:] == [(2, "0"), (2, "1/2")]


def test_a_last_frame_that_is_too_short_for_the_rate_is_still_the_last() -> None:
    timing = of_lengths([Fraction(1, 30), Fraction(1, 500)], 24)
    assert shares(timing) == [(0, "0")], "the first is the first in any case"
    timing = of_lengths([Fraction(1, 15), Fraction(1, 500)], 24)
    assert shares(timing) == [(0, "0"), (1, "0")]


def test_what_would_be_shown_for_less_than_a_thousandth_isnt_made() -> None:
    times, end = steady(3, 16)
    timing = timing_of(times, end + Fraction(1, 10_000), 32)
    assert len(timing.places) == 6
    assert timing.duration == end + Fraction(1, 10_000)


@pytest.mark.parametrize(
    ("times", "end", "rate"), [([], 1, 24), ([0, 1, 1], 2, 24), ([0, 1], 1, 24), ([0], 1, 0)]
)
def test_what_cant_be_planned(times: list[int], end: int, rate: int) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        timing_of([Fraction(time) for time in times], Fraction(end), rate)


@given(LENGTHS, st.sampled_from(RATES), st.booleans())
def test_every_place_is_where_its_time_is(lengths: list[Fraction], rate: int, loop: bool) -> None:
    timing = of_lengths(lengths, rate, loop)
    final = timing.sources - 1
    for index, place in enumerate(timing.places[: None if loop else -1]):
        time = Fraction(index, rate)
        assert 0 <= place.share < 1
        start, end = timing.times[place.first : place.first + 2]
        assert start <= time < end
        if place.first < final or loop:
            assert start + place.share * (end - start) == time
            assert place.second == (place.first + 1) % timing.sources
        else:
            assert place.share == 0


@given(LENGTHS, st.sampled_from(RATES), st.booleans())
def test_the_ends_and_the_duration_are_the_sources(
    lengths: list[Fraction], rate: int, loop: bool
) -> None:
    timing = of_lengths(lengths, rate, loop)
    assert timing.duration == sum(lengths)
    assert LEAST_SHOWN <= timing.last <= Fraction(1, rate) + LEAST_SHOWN
    assert shares(timing, 1) == [(0, "0")]
    if not loop and len(timing.places) > 1:
        assert shares(timing)[-1] == (timing.sources - 1, "0")


@given(st.integers(1, 200), st.sampled_from((8, 12, 15, 16, 24, 25)), st.sampled_from(RATES))
def test_frames_at_a_source_frames_time_are_that_frame(frames: int, fps: int, rate: int) -> None:
    timing = timing_of(*steady(frames, fps), rate)
    for index, place in enumerate(timing.places[:-1]):
        at = Fraction(index, rate) * fps
        if at.denominator == 1:
            assert place.share == 0
            assert place.first == min(int(at), frames - 1)


@given(LENGTHS, st.sampled_from(RATES))
def test_time_never_goes_back(lengths: list[Fraction], rate: int) -> None:
    places = of_lengths(lengths, rate).places
    order = [place.first + place.share for place in places]
    assert order == sorted(order)


def test_a_steady_source_keeps_each_of_its_frames() -> None:
    for rate in (16, Fraction(30000, 1001), 240):
        times, end = steady(50, rate)
        own = own_timing(times, end)
        assert own.rate == rate
        assert [place.first for place in own.places] == list(range(50))
        assert own.duration == end


def test_one_that_isnt_steady_holds_what_is_due_and_drops_nothing() -> None:
    dense = [Fraction(at, 30) for at in range(10)]
    times = [*dense, *(at + 1 for at in dense)]
    own = own_timing(times, times[-1] + Fraction(1, 30))
    assert own.rate == 30, "as its usual interval says, not 15 as the whole"
    assert {place.first for place in own.places} == set(range(20))
    assert {place.share for place in own.places} == {0}


def test_no_file_makes_it_more_than_a_slow_motion_cameras() -> None:
    tick = Fraction(1, 90_000)
    close = [at * tick for at in range(2000)]
    for times, end in (
        ([Fraction(0)], tick),
        (close, close[-1] + tick),
        ([*close, Fraction(29)], Fraction(29) + tick),
    ):
        own = own_timing(times, end)
        assert own.rate <= MOST_RATE
        assert len(own.places) <= 30 * MOST_RATE
