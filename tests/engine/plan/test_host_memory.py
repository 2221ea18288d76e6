"""The arithmetic of host memory against the figures computed from the real checkpoint's shapes."""

import pytest

from engine.plan.host_memory import host_need, parts, resident_need
from engine.presets import ModelPreset, Presets
from engine.units import GIB

MODEL = "wan2.1-t2v-14b-fp8"


@pytest.fixture
def fp8(presets: Presets) -> ModelPreset:
    return presets.models[MODEL]


def in_gib(value: int) -> float:
    return value / GIB


@pytest.mark.parametrize(
    ("number", "raw", "pinned"),
    [(0, 13.1, 20.0), (1, 0.43, 0.69), (2, 4.3, 6.0), (3, 1.96, 1.96)],
    ids=["blocks", "rest", "t5", "words"],
)
def test_the_table_of_pinned_bytes(
    fp8: ModelPreset, number: int, raw: float, pinned: float
) -> None:
    part = parts(fp8)[number]
    assert in_gib(part.raw) == pytest.approx(raw, rel=0.01)
    assert in_gib(part.pinned) == pytest.approx(pinned, rel=0.01)
    assert part.raw <= part.exact <= part.raw * 1.001, "pages waste next to nothing"


def test_the_sums_by_offload(fp8: ModelPreset) -> None:
    need = {name: in_gib(host_need(fp8, name)) for name in ("block", "block-exact", "lazy")}
    assert need["block"] == pytest.approx(28.7 + 3, abs=0.1), "too much for 32 GB"
    assert need["block-exact"] == pytest.approx(19.8 + 3, abs=0.1), "fits 32 GB"
    assert 12 < need["lazy"] < 13, "fits 16 GB"


def test_bf16_takes_twice_and_has_no_scales(fp8: ModelPreset, presets: Presets) -> None:
    bf16 = presets.models["wan2.1-t2v-14b-bf16"]
    blocks, rest, t5, words = parts(bf16)
    assert in_gib(blocks.raw) == pytest.approx(26.2, rel=0.01)
    assert in_gib(blocks.pinned) == pytest.approx(40, rel=0.01)
    assert (rest, words) == (parts(fp8)[1], parts(fp8)[3])
    assert t5.raw > parts(fp8)[2].raw


def test_everything_on_the_gpu_needs_a_large_one(fp8: ModelPreset) -> None:
    assert 24 < in_gib(resident_need(fp8)) < 25, "not an RTX 4090, but an RTX 5090"
    assert in_gib(host_need(fp8, "resident")) == pytest.approx(3 + 6.0 + 1.96, abs=0.1)


@pytest.mark.parametrize("precision", ["fp8", "int8"])
def test_two_transformers_need_more_unless_they_take_turns(
    presets: Presets, precision: str
) -> None:
    wan22 = presets.models[f"wan2.2-i2v-a14b-{precision}"]
    ways = ("block", "block-exact", "one-expert", "lazy")
    need = {name: in_gib(host_need(wan22, name)) for name in ways}
    assert need["block"] == pytest.approx(52.4, abs=0.1)
    assert need["block-exact"] == pytest.approx(36.3, abs=0.1), "fits 48 GB"
    assert need["one-expert"] == pytest.approx(23.2, abs=0.1), "fits 32 GB"
    assert 12 < need["lazy"] < 13, "fits 16 GB"
    assert in_gib(resident_need(wan22)) == pytest.approx(38.0, abs=0.2), "an 48 GB card"


def test_a_model_without_an_architecture_is_its_process(presets: Presets) -> None:
    tiny = presets.models["wan-tiny"]
    assert host_need(tiny, "block") == 3 * GIB
    assert in_gib(resident_need(tiny)) == pytest.approx(tiny.memory.baseline_peak_gib)
