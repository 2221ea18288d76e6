"""Figures side by side make sense together."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guard.budget import Device
from engine.guard.predict import Rules, covers
from engine.guard.verdict import Hedge, Verdict, Word, judge
from engine.measurements import Measurement
from engine.request import Size
from engine.units import GIB
from ui.tabs.peaks import shown_peaks

SMALL, LARGE = Size(480, 832, 81), Size(720, 1280, 81)
RULES = Rules(
    SMALL, 12 * GIB, 15 * GIB, 0.1, reference=((32_760, round(8.1 * GIB)), (75_600, 10 * GIB))
)
CARD = Device("RTX 4060 Ti", 16 * GIB, GIB, GIB)


def verdict(peak: int | None, hedge: Hedge, word: Word = Word.OPEN) -> Verdict:
    return Verdict(word, "Why.", "none", peak, 15 * GIB, hedge=hedge)


def shown(*runs: Measurement) -> dict[Size, str]:
    verdicts = {size: judge(size, runs, RULES, CARD) for size in (SMALL, LARGE)}
    return {size: str(said) for size, said in shown_peaks(verdicts).items()}


def test_a_larger_size_shows_at_least_what_the_smaller_one_may_need() -> None:
    """What the page showed: "12.0 GB" beside "about 9.7 GB" for a larger one."""
    assert shown() == {SMALL: "up to 12.0 GB", LARGE: "up to 12.0 GB"}


def test_a_measurement_has_no_word_before_it() -> None:
    runs = Measurement(SMALL, "ok", {"denoise": 6 * GIB})
    found = shown(runs)
    assert found[SMALL] == "6.0 GB"
    assert found[LARGE].startswith("about ")


@pytest.mark.parametrize(
    ("hedge", "said"),
    [
        ("exact", "6.0 GB"),
        ("about", "about 6.0 GB"),
        ("up_to", "up to 6.0 GB"),
        ("at_least", "at least 6.0 GB"),
    ],
)
def test_each_origin_has_its_word(hedge: Hedge, said: str) -> None:
    assert str(shown_peaks({SMALL: verdict(6 * GIB, hedge)})[SMALL]) == said


def test_nothing_is_guessed_where_nothing_is_known() -> None:
    """A lower bound below a smaller size's figure would lie as an upper one."""
    found = shown_peaks({SMALL: verdict(12 * GIB, "up_to"), LARGE: verdict(6 * GIB, "at_least")})
    assert not found[LARGE]
    assert not shown_peaks({SMALL: verdict(None, "about")})[SMALL]


SIDES = st.sampled_from([256, 480, 720, 832])
SIZES = st.builds(Size, SIDES, SIDES, st.sampled_from([17, 33, 81]))
VERDICTS = st.builds(
    verdict,
    st.one_of(st.none(), st.integers(1, 60).map(lambda n: n * GIB // 4)),
    st.sampled_from(["exact", "about", "up_to", "at_least"]),
)


@given(st.dictionaries(SIZES, VERDICTS, max_size=8))
def test_no_larger_size_shows_less(verdicts: dict[Size, Verdict]) -> None:
    found = {size: said for size, said in shown_peaks(verdicts).items() if said}
    for large, small in itertools.permutations(found, 2):
        if covers(large, small):
            peaks = [found[size].values["peak"].bytes for size in (large, small)]
            assert peaks[0] >= peaks[1]
