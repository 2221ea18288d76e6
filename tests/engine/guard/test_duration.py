"""How long a clip will take, judged by runs of other sizes."""

import pytest

from engine.guard.duration import Duration, Elsewhere, TimedRun, duration
from engine.presets import ModelPreset, Presets
from engine.request import Size

BASE = Size(480, 832, 81)
LOADED = {"load": 60.0, "encode": 1.0}
# An H100 held to 16 GiB, fp8-triton (README): seconds a step, and of the decode.
H100 = {
    BASE: (2.8, 2.4),
    Size(544, 960, 81): (4.3, 2.9),
    Size(720, 1280, 49): (4.9, 3.1),
    Size(720, 1280, 81): (11.1, 5.2),
    Size(720, 1280, 121): (23.4, 8.2),
}


@pytest.fixture
def big(presets: Presets) -> ModelPreset:
    return presets.models["wan2.1-t2v-14b-fp8"]


def whole(size: Size) -> float:
    step, decode = H100[size]
    return 4 * step + decode


def test_a_probe_of_one_size_tells_the_others_within_a_tenth(big: ModelPreset) -> None:
    step, decode = H100[BASE]
    runs = [TimedRun(BASE, {"load": 60.0, "denoise": step, "decode": decode}, probe=True)]
    assert duration(BASE, big, runs) == Duration(whole(BASE), "measured")
    for size in H100.keys() - {BASE}:
        found = duration(size, big, runs)
        assert found is not None
        assert found.basis == "scaled"
        assert found.seconds == pytest.approx(whole(size), rel=0.1)


def test_the_newest_clip_counts_and_loading_does_not(big: ModelPreset) -> None:
    first = TimedRun(BASE, {**LOADED, "denoise": 20.0, "decode": 3.0})
    second = TimedRun(BASE, {**LOADED, "denoise": 10.0, "decode": 2.0})
    probe = TimedRun(BASE, {"denoise": 9.0, "decode": 2.0}, probe=True)
    assert duration(BASE, big, [first, second, probe]) == Duration(13.0, "measured")


def test_the_newest_probe_counts_where_no_clip_was_made(big: ModelPreset) -> None:
    """The first probe of a size may have tuned the kernels in its one step."""
    tuning, tuned = (
        TimedRun(BASE, {"denoise": step, "decode": 2.0}, probe=True) for step in (90.0, 3.0)
    )
    assert duration(BASE, big, [tuning, tuned]) == Duration(14.0, "measured")


def test_the_nearest_run_is_scaled_and_a_far_one_says_nothing(big: ModelPreset) -> None:
    far, near = TimedRun(Size(256, 256, 5), {"denoise": 1.0}), TimedRun(BASE, {"denoise": 10.0})
    found = duration(Size(480, 832, 85), big, [near, far])
    assert found is not None
    assert found.seconds == pytest.approx(10.0, rel=0.1)
    assert duration(BASE, big, [far]) is None


def test_without_a_run_another_card_tells_and_without_that_nobody(big: ModelPreset) -> None:
    assert duration(BASE, big, [TimedRun(BASE, {"load": 60.0})]) is None
    found = duration(BASE, big, [], Elsewhere(190.0, "a card"))
    assert found == Duration(190.0, "elsewhere")
