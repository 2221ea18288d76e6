"""Whether a LoRA is for a model, and which shape says that it isn't."""

from pathlib import Path

import pytest

from engine.adapters.fit import fit, require
from engine.adapters.lora_file import AdapterError, LoraFile, read_lora
from engine.presets import load_presets
from tests.support import loras


def read(folder: Path, **more: int) -> LoraFile:
    return read_lora(loras.write(folder / "a.safetensors", loras.layers(**more)))  # type: ignore[arg-type]


def test_one_that_fits_says_nothing(tmp_path: Path) -> None:
    found = fit(read(tmp_path), loras.small_model())
    assert (found.fits, found.matched, found.unmatched) == (True, 10, 0)
    assert not found.told


def test_one_of_a_deeper_model_fits_partly_and_counts(tmp_path: Path) -> None:
    found = fit(read(tmp_path, blocks=3), loras.small_model())
    assert (found.fits, found.matched, found.unmatched) == (True, 10, 5)
    assert "10 of its layers" in str(found.told)
    assert "5 have no counterpart" in str(found.told)


def test_a_picture_model_has_other_inputs(tmp_path: Path) -> None:
    name = "diffusion_model.patch_embedding"
    more = {f"{name}.lora_A.weight": (4, 36, 1, 2, 2), f"{name}.lora_B.weight": (16, 4, 1, 1, 1)}
    lora = read_lora(loras.write(tmp_path / "a.safetensors", {**loras.layers(), **more}))
    assert fit(lora, loras.small_model()).unmatched == 1
    assert fit(lora, loras.small_model(task="i2v")).unmatched == 0


def test_a_file_for_both_transformers_says_which_is_whose(tmp_path: Path) -> None:
    """As diffusers names them; a model of one transformer has the first one's."""
    first = loras.layers("diffusers", blocks=1)
    second = {
        name.replace("transformer.", "transformer_2."): sides for name, sides in first.items()
    }
    lora = read_lora(loras.write(tmp_path / "a.safetensors", {**first, **second}))
    assert [change.noise for change in lora.changes] == ["high"] * 5 + ["low"] * 5
    shape = loras.small_model().architecture
    two = load_presets().models["wan2.2-i2v-a14b-fp8"].model_copy(update={"architecture": shape})
    assert (fit(lora, two).matched, fit(lora, two).unmatched) == (10, 0)
    one = fit(lora, loras.small_model())
    assert (one.matched, one.unmatched) == (5, 5)
    alone = read_lora(loras.write(tmp_path / "b.safetensors", second))
    assert {change.noise for change in alone.changes} == {"low"}
    assert not fit(alone, loras.small_model()).fits
    assert {change.noise for change in read_lora(loras.write(tmp_path / "c", first)).changes} == {
        None
    }, "one that names a single transformer counts for both"


@pytest.mark.parametrize(("dim", "model"), [(1536, "Wan 2.1 1.3B"), (3072, "Wan 2.2 5B")])
def test_another_wan_is_refused_by_the_shape_that_differs(
    tmp_path: Path, dim: int, model: str
) -> None:
    preset = load_presets().models["wan2.1-t2v-14b-fp8"].model_copy(update={"adapters": True})
    lora = read(tmp_path, dim=dim, ffn=4 * dim, rank=1, blocks=1)
    with pytest.raises(AdapterError) as refused:
        require(lora, preset)
    told = str(refused.value)
    assert f"is {dim} × {dim} in it and 5120 × 5120 in Wan2.1 14B (FP8): it is for {model}" in told
    assert "Choose a LoRA that was trained for Wan2.1 14B (FP8)" in told


def test_a_model_without_loras_takes_none(tmp_path: Path) -> None:
    found = fit(read(tmp_path), loras.small_model(adapters=False))
    assert not found.fits
    assert "takes no LoRAs" in str(found.told)
