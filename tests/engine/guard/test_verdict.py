"""The guard's judgement: its laws as properties, its sentences as examples."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guard.budget import Device, margin
from engine.guard.climb import climb, nearest_open
from engine.guard.predict import STEP, Rules, by_size, covers, fitted
from engine.guard.verdict import Word, judge
from engine.measurements import Measurement
from engine.request import Size
from engine.units import GIB, MIB

BASELINE = Size(480, 832, 81)
WAN = Rules(
    baseline=BASELINE,
    baseline_peak=12 * GIB,
    minimum_total=15 * GIB,
    token_pixels=1.0,
    reference=((32760, 12 * GIB), (75600, 18 * GIB)),
)
CARD = Device("RTX 4060 Ti", 16380 * MIB, 0, 700 * MIB)
LARGE = Size(720, 1280, 81)


def ok(size: Size, peak: int, decode: int | None = None) -> Measurement:
    return Measurement(size, "ok", {"denoise": peak, "decode": decode or peak})


# ---- the laws ------------------------------------------------------------------------------

sides = st.integers(1, 80).map(lambda n: 16 * n)
sizes = st.builds(Size, sides, sides, st.integers(0, 30).map(lambda n: 4 * n + 1))
peaks = st.integers(0, 40 * GIB)
measurements = st.builds(
    Measurement,
    sizes,
    st.sampled_from(["ok", "ok", "ok", "over_budget", "out_of_memory", "failed"]),
    st.fixed_dictionaries({"encode": peaks, "denoise": peaks, "decode": peaks}),
)
histories = st.lists(measurements, max_size=8)
rules = st.builds(
    Rules,
    sizes,
    peaks,
    st.integers(0, 30 * GIB),
    st.floats(0, 50),
    st.sampled_from([(), ((32760, 12 * GIB), (75600, 18 * GIB))]),
)
devices = st.builds(
    Device, st.just("card"), st.integers(0, 48 * GIB), st.integers(0, 20 * GIB), st.just(700 * MIB)
)
# At least 300 each, as promised; the laws are cheap to try.
many = settings(max_examples=400)


@st.composite
def covering(draw: st.DrawFn) -> tuple[Size, Size]:
    """A size and one that covers it."""
    small = draw(sizes)
    large = Size(
        small.height + 16 * draw(st.integers(0, 40)),
        small.width + 16 * draw(st.integers(0, 40)),
        small.frames + 4 * draw(st.integers(0, 20)),
    )
    return small, large


@many
@given(covering(), histories, rules, devices)
def test_a_larger_size_never_gets_a_better_verdict(
    pair: tuple[Size, Size], history: list[Measurement], rule: Rules, device: Device
) -> None:
    small, large = (judge(size, history, rule, device) for size in pair)
    assert large.word.rank >= small.word.rank


@many
@given(sizes, histories, sizes, st.integers(0, 8), rules, devices)
def test_a_failed_measurement_never_opens_anything(
    size: Size, history: list[Measurement], failed: Size, at: int, rule: Rules, device: Device
) -> None:
    before = judge(size, history, rule, device)
    for outcome in ("out_of_memory", "failed"):
        more = list(history)
        more.insert(at, Measurement(failed, outcome, {"denoise": GIB}))
        after = judge(size, more, rule, device)
        assert after.word.rank >= before.word.rank
        if outcome == "out_of_memory" and covers(size, failed):
            assert after.word is Word.IMPOSSIBLE


@many
@given(sizes, histories, rules, devices, st.integers(0, 20 * GIB))
def test_more_use_by_others_never_opens_anything(
    size: Size, history: list[Measurement], rule: Rules, device: Device, more: int
) -> None:
    before = judge(size, history, rule, device)
    after = judge(size, history, rule, replace(device, others=device.others + more))
    assert after.word.rank >= before.word.rank
    if before.word is not after.word:
        assert (before.word, after.word) == (Word.OPEN, Word.BUSY), "others only make it busy"


@many
@given(covering(), histories, rules, devices)
def test_a_prediction_is_never_below_a_peak_measured_at_a_smaller_size(
    pair: tuple[Size, Size], history: list[Measurement], rule: Rules, device: Device
) -> None:
    small, large = pair
    history = [*history, ok(small, 9 * GIB)]
    line = fitted(large, by_size(history), rule)
    assert line is None or line >= 9 * GIB
    verdict = judge(large, history, rule, device)
    assert verdict.peak is None or verdict.peak >= 9 * GIB


@many
@given(sizes, histories, rules, devices)
def test_what_is_open_fits_with_its_margin(
    size: Size, history: list[Measurement], rule: Rules, device: Device
) -> None:
    verdict = judge(size, history, rule, device)
    assert verdict.reason
    assert verdict.budget == device.budget
    if verdict.open:
        assert verdict.peak is not None
        assert verdict.peak + margin(verdict.peak) <= device.budget
        assert verdict.basis != "none"
    else:
        assert verdict.remedy


@many
@given(sizes, st.lists(sizes, max_size=4), sizes)
def test_a_climb_ends_at_its_target_by_small_steps(
    target: Size, measured: list[Size], smallest: Size
) -> None:
    path = climb(target, measured, (Size(128, 128, 17), smallest))
    assert path[-1] == target
    assert len(path) == len(set(path))
    below = [s for s in measured if covers(target, s)]
    start = max(below, key=lambda s: (s.tokens, s.pixels)) if below else path[0]
    for here, there in zip([start, *path], path, strict=False):
        grid = (abs(there.height - here.height), abs(there.width - here.width))
        one_step = max(grid) <= 16 and abs(there.frames - here.frames) <= 4
        assert there.tokens <= STEP * here.tokens or one_step


# ---- the rules of the design ---------------------------------------------------------------


def test_the_baseline_is_open_on_a_16_gb_card_and_720p_is_locked() -> None:
    verdict = judge(BASELINE, [], WAN, CARD)
    assert (verdict.word, verdict.basis, verdict.peak) == (Word.OPEN, "recipe", 12 * GIB)
    assert str(verdict.reason) == "Should fit: up to 12.0 GB of 15.3 GB."
    locked = judge(LARGE, [], WAN, CARD)
    assert (locked.word, locked.basis) == (Word.LOCKED, "none")
    assert locked.peak == 18 * GIB, "the published point warns"
    assert "No size this large has been tested" in str(locked.reason)
    assert "Test it" in str(locked.remedy)


def test_below_the_minimum_even_the_baseline_is_locked() -> None:
    small = replace(CARD, total=12 * GIB)
    verdict = judge(BASELINE, [], WAN, small)
    assert verdict.word is Word.LOCKED
    assert "below 15.0 GB, every size has to be tested first" in str(verdict.reason)


def test_where_there_is_nothing_to_give_no_need_is_made_up() -> None:
    found = judge(LARGE, [], WAN, replace(CARD, total=512 * MIB))
    assert found.word is Word.IMPOSSIBLE
    assert str(found.reason) == ("RTX 4060 Ti can provide 0 MB, less than any size needs.")


def test_others_make_it_busy_and_are_named() -> None:
    game = replace(CARD, others=6 * GIB, holders=(("game.exe", 6 * GIB),))
    verdict = judge(BASELINE, [], WAN, game)
    assert verdict.word is Word.BUSY
    assert "game.exe 6.0 GB" in str(verdict.reason)


def test_a_measured_size_opens_itself_and_what_it_covers() -> None:
    history = [ok(LARGE, 13 * GIB)]
    assert judge(LARGE, history, WAN, CARD).basis == "measured"
    assert judge(Size(720, 1280, 49), history, WAN, CARD).open
    assert judge(Size(720, 1296, 81), history, WAN, CARD).word is Word.LOCKED


def test_two_sizes_open_up_to_one_and_a_half_times_the_tokens() -> None:
    history = [ok(Size(480, 832, 33), 8 * GIB), ok(BASELINE, 10 * GIB)]
    near, far = Size(480, 832, 121), Size(480, 832, 125)
    assert near.tokens <= STEP * BASELINE.tokens < far.tokens
    verdict = judge(near, history, WAN, CARD)
    assert (verdict.word, verdict.basis) == (Word.OPEN, "predicted")
    assert judge(far, history, WAN, CARD).word is Word.LOCKED


def test_out_of_memory_closes_everything_as_large_and_nothing_smaller() -> None:
    failed = Measurement(BASELINE, "out_of_memory", {})
    assert judge(BASELINE, [failed], WAN, CARD).word is Word.IMPOSSIBLE
    assert judge(LARGE, [failed], WAN, CARD).word is Word.IMPOSSIBLE
    assert judge(Size(480, 832, 77), [failed], WAN, CARD).open


def test_a_size_that_ran_out_is_not_compared_with_itself() -> None:
    failed = Measurement(BASELINE, "out_of_memory", {})
    here, larger = (judge(size, [failed], WAN, CARD).reason for size in (BASELINE, LARGE))
    assert str(here) == f"Memory ran out at {BASELINE.text(16)} on this machine."
    assert str(larger).endswith(f"on this machine, and {LARGE.text(16)} is at least as large.")


def test_a_peak_above_the_whole_card_is_impossible_not_locked() -> None:
    history = [Measurement(LARGE, "over_budget", {"denoise": 15800 * MIB, "decode": GIB})]
    verdict = judge(LARGE, history, WAN, CARD)
    assert (verdict.word, verdict.basis) == (Word.IMPOSSIBLE, "measured")


def test_stages_grow_with_what_they_really_depend_on() -> None:
    """Many frames of few pixels load the transformer, one large picture the decoder."""
    truth = [
        (Size(128, 128, 17), 1000, 2000),
        (Size(256, 256, 17), 1000 + 960, 2000 + 49152 * 17 // 100),
    ]
    history = [ok(size, d * MIB, v * MIB) for size, d, v in truth]
    flat = Rules(Size(128, 128, 17), 0, 0, 0.0)
    line = fitted(Size(256, 256, 17), by_size(history), flat)
    assert line == truth[1][2] * MIB
    wide = fitted(Size(256, 256, 33), by_size(history), flat)
    assert wide == line, "the decoder doesn't mind frames here, the transformer stays below it"


def test_only_recent_runs_of_a_size_count() -> None:
    history = [ok(BASELINE, 14 * GIB), *[ok(BASELINE, 11 * GIB)] * 5]
    assert by_size(history)[BASELINE]["denoise"] == 11 * GIB


@pytest.mark.parametrize("wanted", [Size(720, 1280, 81), Size(1280, 720, 81)])
def test_the_nearest_open_size_keeps_the_form(wanted: Size) -> None:
    candidates = [BASELINE, Size(832, 480, 81), Size(480, 832, 17)]
    found = nearest_open(wanted, candidates, dict.fromkeys(candidates, True))
    assert found is not None
    assert (found.height < found.width) == (wanted.height < wanted.width)
    assert found.frames == 81
    assert nearest_open(wanted, candidates, {}) is None
