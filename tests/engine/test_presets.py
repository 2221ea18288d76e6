"""Presets: a mistake is told with its file and line."""

import shutil
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.preset_file import PresetError
from engine.presets import ROLES, TRANSFORMERS, Presets, load_presets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HEADROOM_PRESETS")
    shutil.copytree(PROJECT / "presets/models", tmp_path / "p/models")
    shutil.copy(PROJECT / "presets/sizes.yaml", tmp_path / "p")
    return tmp_path / "p"


def test_the_shipped_presets_fit_each_other(folder: Path) -> None:
    presets = load_presets(folder)
    for model, preset in presets.models.items():
        limits = preset.limits
        for size in presets.sizes_for(model):
            assert limits.height.min <= size.height <= limits.height.max
            assert limits.width.min <= size.width <= limits.width.max
        for frames in presets.frames_for(model):
            assert frames % 4 == 1
            assert limits.frames.min <= frames <= limits.frames.max
    used = {model for size in presets.sizes for model in size.models} | set(presets.frames)
    assert used <= set(presets.models)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 4", "steps: four", "steps"),
        ("fps: 16", "fps: 0", "greater than or equal to 1"),
        ("family: wan-tiny", "family: magic", "family"),
        ("name: Wan tiny", "nmae: Wan tiny", "nmae: Extra"),
        ("width: {min: 16, max: 1280}", "width: {min: 160, max: 128}", "min 160 is above"),
        ("frames: 17}", "frames: 16}", "4k+1"),
        ("steps: 4", "steps: ]4", "expected"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(folder: Path, old: str, new: str, words: str) -> None:
    file = folder / "models" / "wan-tiny.yaml"
    text = file.read_text()
    line = text[: text.index(old)].count("\n") + 1
    file.write_text(text.replace(old, new))
    with pytest.raises(PresetError) as caught:
        load_presets(folder)
    assert f"{file}: line {line}: " in str(caught.value.sentence)
    assert words in str(caught.value.sentence)
    assert caught.value.remedy


def test_a_preset_of_0_1_0_names_its_family_by_the_pipeline(folder: Path) -> None:
    file = folder / "models" / "wan-tiny.yaml"
    file.write_text(file.read_text().replace("family: wan-tiny", "pipeline: wan_tiny"))
    assert load_presets(folder).models["wan-tiny"].family == "wan-tiny"


def test_two_models_of_one_id_are_refused(folder: Path) -> None:
    shutil.copy(folder / "models/wan-tiny.yaml", folder / "models/again.yaml")
    with pytest.raises(PresetError, match="is taken by another file"):
        load_presets(folder)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\0", b"name: 2026-99-99\n", b"[" * 2000 + b"]" * 2000, b"- " * 100_000 + b"1"],
)
def test_a_file_that_is_no_preset_at_all_is_told(folder: Path, content: bytes) -> None:
    file = folder / "models" / "wan-tiny.yaml"
    file.write_bytes(content)
    with pytest.raises(PresetError) as caught:
        load_presets(folder)
    assert str(caught.value.sentence).startswith(f"{file} can't be read: ")


def test_a_folder_that_cant_be_looked_into_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_PRESETS", "x" * 300)
    with pytest.raises(PresetError, match="HEADROOM_PRESETS names a folder that can't be read"):
        load_presets(folder)


def test_no_presets_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADROOM_PRESETS")
    with pytest.raises(PresetError, match="no model preset"):
        load_presets(tmp_path)


FP8, BF16 = "wan2.1-t2v-14b-fp8", "wan2.1-t2v-14b-bf16"
SECOND_VAE = "  - {role: vae, bytes: 1, sources: [{repo: a/b, path: c, layout: file}]}"
SECOND_TRANSFORMER = (
    "  - {role: transformer_2, bytes: 1, sources: [{repo: a/b, path: c, layout: single}]}"
)
REAL = (FP8, "wan2.1-t2v-14b-int8", BF16)
I2V = "wan2.2-i2v-a14b-fp8"


@pytest.mark.parametrize("model", REAL)
def test_the_real_model_is_told_whole_in_each_precision(folder: Path, model: str) -> None:
    preset = load_presets(folder).models[model]
    assert preset.precision == model.rpartition("-")[2]
    assert (preset.steps, preset.denoising_steps) == (4, (1000, 750, 500, 250))
    assert (preset.guidance, preset.shift, preset.fps) == (1.0, 5.0, 16)
    assert {file.role for file in preset.weights} == {*ROLES} - {"transformer_2", "interpolator"}
    for file in preset.weights:
        assert len(file.sources) >= 2, "upstream moves its files: every one has a fallback"
        assert file.precision in (None, preset.precision)
    architecture = preset.architecture
    assert architecture is not None
    assert (architecture.layers, architecture.dim, architecture.ffn_dim) == (40, 5120, 13824)


@pytest.mark.parametrize("precision", ["fp8", "int8"])
def test_from_a_picture_two_transformers_take_turns(precision: str) -> None:
    models = load_presets().models
    preset, text = models[f"wan2.2-i2v-a14b-{precision}"], models[f"wan2.1-t2v-14b-{precision}"]
    assert {file.role for file in preset.weights} == {*ROLES} - {"interpolator"}
    assert (preset.experts, preset.channels, preset.boundary_step) == (2, 36, 2)
    assert (preset.shift, preset.last_shift) == (5.0, 16.0)
    assert preset.inputs == {"prompt", "image", "last_image", "adapters"}
    for role in ("text_encoder", "tokenizer", "vae", "tiny_vae"):
        assert preset.weight_file(role) == text.weight_file(role), "what the other one has"
    files = [preset.weight_file(role) for role in TRANSFORMERS]
    sources = [source for file in files if file is not None for source in file.sources]
    assert not [source for source in sources if "_comfyui" in source.path]
    assert ["high" in source.path for source in sources] == [True, True, False]
    assert text.from_picture == preset.id
    assert models["wan2.1-t2v-14b-bf16"].from_picture == I2V
    assert models[f"{text.id}-draft"].from_picture == f"{preset.id}-draft"


def test_the_totals_are_those_of_the_hub(folder: Path) -> None:
    """22.3 GB in distill_fp8 and distill_int8, 40.5 GB in distill_models; tokenizer elsewhere."""
    models = load_presets(folder).models
    totals = [sum(file.bytes for file in models[model].weights) / 1e9 for model in REAL]
    assert totals == pytest.approx([22.3, 22.3, 40.5], abs=0.1)


def test_bf16_is_impossible_on_48_gb_and_nothing_else_is(folder: Path) -> None:
    models = load_presets(folder).models
    told = {id: m.memory.impossible_below_gib for id, m in models.items()}
    assert {id: limit for id, limit in told.items() if limit} == {BF16: 48.0}
    assert "28.6 GB" in models[BF16].memory.impossible_reason
    assert models["wan2.1-t2v-14b-int8"].memory == models[FP8].memory


@pytest.mark.parametrize(
    ("model", "old", "new", "words"),
    [
        (FP8, "precision: fp8\n#", "#", "wan2.1 also needs precision"),
        (FP8, "denoising_steps: [1000, 750, 500, 250]\n", "", "also needs denoising_steps"),
        (FP8, "role: vae", "role: vea", "weights.3.role"),
        (FP8, "weights:\n", f"weights:\n{SECOND_VAE}\n", "vae more than once"),
        (FP8, "[1000, 750, 500, 250]", "[1000, 500]", "has 2 values for 4 steps"),
        (FP8, "[1000, 750, 500, 250]", "[250, 500, 750, 1000]", "must fall"),
        (FP8, "[1000, 750, 500, 250]", "[1001, 750, 500, 250]", "denoising_steps"),
        (FP8, "precision: fp8\n#", "precision: int8\n#", "the transformer is fp8"),
        (FP8, "layout: blocks", "layout: folder", "layout is blocks or single"),
        (FP8, "path: distill_fp8,", "path: ../distill_fp8,", "path"),
        (FP8, "path: distill_fp8,", "path: /distill_fp8,", "path"),
        (FP8, "heads: 40,", "heads: 48,", "multiple of heads"),
        (BF16, "impossible_below_gib: 48.0", "", "go together"),
        (I2V, "boundary_step: 2\n", "", "also needs boundary_step"),
        (I2V, "boundary_step: 2\n", "boundary_step: 4\n", "leaves no step"),
        (I2V, "role: transformer_2", "role: transformer", "weights for the transformer_2"),
        (FP8, "weights:\n", f"weights:\n{SECOND_TRANSFORMER}\n", "boundary_step is missing"),
        (FP8, f"from_picture: {I2V}", f"from_picture: {BF16}", "begins with a picture"),
    ],
)
def test_a_model_half_told_is_refused(
    folder: Path, model: str, old: str, new: str, words: str
) -> None:
    file = folder / "models" / f"{model}.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(PresetError) as caught:
        load_presets(folder)
    assert words in str(caught.value.sentence)


def test_a_missing_role_is_named(folder: Path) -> None:
    file = folder / "models" / f"{FP8}.yaml"
    kept, _, rest = file.read_text().partition("  - role: vae\n")
    file.write_text(kept + rest[rest.index("fps:") :])
    with pytest.raises(PresetError, match="weights for the vae"):
        load_presets(folder)


def test_the_reference_of_the_same_kernel_comes_before_the_most_thorough(presets: Presets) -> None:
    """A line through two kernels' peaks would mean nothing, nor would one of another kernel."""
    model = "wan2.1-t2v-14b-fp8"
    by_kernel = {r.matmul: r.points for r in presets.references if r.model == model}
    assert len(by_kernel["fp8-triton"]) < len(by_kernel["fp8-sgl"])
    assert presets.reference_points(model, "fp8-triton") == by_kernel["fp8-triton"]
    assert presets.reference_points(model, "fp8-sgl") == by_kernel["fp8-sgl"]
    assert presets.reference_points(model, "fp8-torchao") == by_kernel["fp8-sgl"]
    assert presets.reference_points("wan-tiny", "None") == ()
