"""The real model's files are known for what they are before anything is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import ExitCode
from engine.presets import TRANSFORMERS, Architecture, ModelPreset, Precision, Presets
from engine.weights.checkpoint import (
    Checkpoint,
    WeightsMissing,
    files_of,
    find_checkpoint,
    find_parts,
)
from engine.weights.header_check import check_files, check_transformer
from engine.weights.safetensors_header import (
    MAX_HEADER,
    DamagedFile,
    TensorHeader,
    WrongWeights,
    read_header,
)
from tests.support.tensorfiles import (
    TINY,
    Tensors,
    block,
    tiny,
    whole,
    write,
    write_blocks,
    write_others,
    write_raw,
)


@pytest.fixture
def preset(presets: Presets) -> ModelPreset:
    return tiny(presets.models["wan2.1-t2v-14b-fp8"])


def model(presets: Presets, precision: Precision) -> ModelPreset:
    return tiny(presets.models[f"wan2.1-t2v-14b-{precision}"])


def single(file: Path) -> Checkpoint:
    return Checkpoint("single", file, file, file, file, 0, 0)


def folder_of(place: Path) -> Checkpoint:
    return Checkpoint("blocks", place, place, place, place, 0, 0)


def refusal(checkpoint: Checkpoint, preset: ModelPreset) -> WrongWeights:
    with pytest.raises(WrongWeights) as caught:
        check_transformer(checkpoint, preset)
    assert caught.value.exit_code == ExitCode.SETUP_MISSING
    assert caught.value.remedy
    return caught.value


# ---- finding -------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "name"), [("fp8", "distill_fp8"), ("int8", "distill_int8")])
@pytest.mark.parametrize("inside", [False, True])
def test_the_folder_of_blocks_is_found_from_above_and_pointed_at(
    tmp_path: Path, presets: Presets, precision: Precision, name: str, inside: bool
) -> None:
    place = tmp_path / "weights é" / name
    write_blocks(place, precision)
    write_others(place, precision)
    its = model(presets, precision)
    found = find_checkpoint(place if inside else place.parent, its)
    assert (found.layout, found.transformer) == ("blocks", place)
    assert found.tokenizer == place / "google/umt5-xxl"
    assert found.vae.parent == found.text_encoder.parent == place
    assert found.text_encoder_bytes == 64
    assert found.transformer_bytes == sum(f.stat().st_size for f in place.glob("*.safetensors"))
    check_transformer(found, its)


@pytest.mark.parametrize("precision", ["fp8", "int8", "bf16"])
def test_the_single_file_is_found_with_its_parts_from_other_repositories(
    tmp_path: Path, presets: Presets, precision: Precision
) -> None:
    its = model(presets, precision)
    transformer = its.weight_file("transformer")
    assert transformer is not None
    file = tmp_path / transformer.sources[-1].path
    write(file, whole(precision))
    write_others(tmp_path, precision)
    found = find_checkpoint(tmp_path, its)
    assert (found.layout, found.transformer) == ("single", file)
    assert found.transformer_bytes == file.stat().st_size
    check_transformer(found, its)


@pytest.mark.parametrize("inside", [False, True])
def test_the_dense_model_is_found_in_its_folder(
    tmp_path: Path, presets: Presets, inside: bool
) -> None:
    place = tmp_path / "distill_models"
    write(place / "distill_model.safetensors", whole("bf16"))
    write_others(place, "bf16")
    its = model(presets, "bf16")
    found = find_checkpoint(place if inside else tmp_path, its)
    assert found.layout == "single"
    check_transformer(found, its)


def test_blocks_half_there_yield_to_a_whole_single_file(
    tmp_path: Path, preset: ModelPreset
) -> None:
    write(tmp_path / "distill_fp8/block_0.safetensors", block(0, "fp8"))
    write_others(tmp_path, "fp8")
    assert find_checkpoint(tmp_path, preset).layout == "blocks"
    assert "non_block" in str(refusal(find_checkpoint(tmp_path, preset), preset).sentence)
    name = "wan2.1_t2v_14b_scaled_fp8_e4m3_lightx2v_4step.safetensors"
    write(tmp_path / name, whole("fp8"))
    assert find_checkpoint(tmp_path, preset).layout == "single"


@pytest.mark.parametrize("there", [False, True])
def test_everything_that_is_missing_is_named(
    tmp_path: Path, preset: ModelPreset, there: bool
) -> None:
    folder = tmp_path / "weights"
    if there:
        write_blocks(folder / "distill_fp8", "fp8")
    with pytest.raises(WeightsMissing) as caught:
        find_checkpoint(folder, preset)
    error = caught.value
    assert error.exit_code == ExitCode.SETUP_MISSING
    roles = [file.role for file in error.missing]
    assert roles == ["transformer", "text_encoder", "tokenizer", "vae"][there:]
    assert str(folder) in str(error.sentence)
    for words in ("text encoder", "models_t5_umt5-xxl-enc-fp8.pth", "6.7 GB", "lightx2v/Encoders"):
        assert words in str(error.sentence)
    assert ("15.0 GB" in str(error.sentence)) is not there
    assert "weights pull --model wan2.1-t2v-14b-fp8" in str(error.remedy)


def test_a_comfyui_file_in_the_transformers_place_is_named(
    tmp_path: Path, preset: ModelPreset
) -> None:
    name = "wan2.1_t2v_14b_scaled_fp8_e4m3_lightx2v_4step_comfyui.safetensors"
    write(tmp_path / name, whole("fp8"))
    with pytest.raises(WeightsMissing, match=f"{name} is there, but LightX2V can't read ComfyUI's"):
        find_checkpoint(tmp_path, preset)
    assert "ComfyUI" in str(refusal(single(tmp_path / name), preset).sentence)


# ---- two transformers ----------------------------------------------------------------------


def i2v(presets: Presets) -> ModelPreset:
    return tiny(presets.models["wan2.2-i2v-a14b-fp8"])


def written(folder: Path, preset: ModelPreset, names: tuple[str, ...]) -> tuple[Path, ...]:
    """Image-to-video's transformers under these names, and all else."""
    write_others(folder / "distill_fp8", "fp8")
    read = ("F32", (TINY.dim, 36, 1, 2, 2))
    for name in names:
        write(folder / name, whole("fp8") | {"patch_embedding.weight": read})
    return tuple(folder / name for name in names)


def expert_names(preset: ModelPreset) -> tuple[str, ...]:
    files = [preset.weight_file(role) for role in TRANSFORMERS]
    return tuple(file.sources[0].path for file in files if file is not None)


def test_two_transformers_are_found_and_checked(tmp_path: Path, presets: Presets) -> None:
    preset = i2v(presets)
    files = written(tmp_path, preset, expert_names(preset))
    found = find_checkpoint(tmp_path, preset)
    assert found.transformers == files
    read = files_of(find_parts(tmp_path, preset))
    assert [one for one in read if one[0] in TRANSFORMERS] == [
        ("transformer", "", files[0]),
        ("transformer_2", "", files[1]),
    ]
    check_transformer(found, preset)
    files[1].unlink()
    with pytest.raises(WeightsMissing, match="second transformer"):
        find_checkpoint(tmp_path, preset)


def test_a_file_for_comfyui_is_refused_with_the_right_ones_name(
    tmp_path: Path, presets: Presets
) -> None:
    preset = i2v(presets)
    names = expert_names(preset)
    wrong = names[1].replace("_lightx2v_4step", "_lightx2v_4step_comfyui")
    written(tmp_path, preset, (names[0], wrong))
    with pytest.raises(WeightsMissing, match=f"{wrong} is there"):
        find_checkpoint(tmp_path, preset)
    with pytest.raises(WrongWeights) as caught:
        check_files(tmp_path / wrong, preset, "transformer_2")
    right = f"The right file is {names[1]} of lightx2v/Wan2.2-Distill-Models."
    assert right in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("channels", "more", "told"),
    [
        (16, {}, "is a text-to-video model (16 input channels instead of 36)"),
        (36, {"img_emb.proj.0.weight": ("F32", (4,))}, "Wan 2.1's image-to-video model"),
    ],
)
def test_another_models_transformer_is_named_in_its_place(
    tmp_path: Path, presets: Presets, channels: int, more: Tensors, told: str
) -> None:
    preset = i2v(presets)
    patches = ("F32", (TINY.dim, channels, 1, 2, 2))
    write(tmp_path / "x.safetensors", {**whole("fp8"), "patch_embedding.weight": patches, **more})
    assert told in str(refusal(single(tmp_path / "x.safetensors"), preset).sentence)


# ---- checking ------------------------------------------------------------------------------


def without(*endings: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k: v for k, v in tensors.items() if not k.endswith(endings)}


def shaped(ending: str, dtype: str, shape: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda ts: {k: (dtype, shape) if k.endswith(ending) else v for k, v in ts.items()}


def renamed(old: str, new: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k.replace(old, new): v for k, v in tensors.items()}


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {prefix + k: v for k, v in tensors.items()}


def with_block(index: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | block(index, "fp8")


def sized(its: Architecture) -> Callable[[Tensors], Tensors]:
    return lambda _: whole("fp8", its)


SMALL = Architecture(layers=3, dim=1536, ffn_dim=48, heads=2, text_dim=24)
WIDE = TINY.model_copy(update={"dim": 64})
DEEP = TINY.model_copy(update={"ffn_dim": 64})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (prefixed("model.diffusion_model."), "ComfyUI's layout"),
        (prefixed("diffusion_model."), "ComfyUI's layout"),
        (renamed(".weight_scale", ".scale_weight"), "ComfyUI's layout"),
        (shaped(".weight_scale", "F32", ()), "one scale for a whole tensor"),
        (shaped(".weight_scale", "F32", (1,)), "one scale for a whole tensor"),
        (shaped("1.ffn.2.weight_scale", "F32", (32,)), "shape [32], not [32, 1]"),
        (shaped("0.ffn.2.weight_scale", "F8_E4M3", (32, 1)), "scales are floats"),
        (without(".weight_scale"), "without their scales"),
        (without("2.cross_attn.o.weight_scale"), "blocks.2.cross_attn.o.weight_scale"),
        (lambda _: whole("bf16"), "in BF16, and FP8 is expected"),
        (lambda _: whole("int8"), "in I8, and FP8 is expected"),
        (shaped("1.self_attn.k.weight", "F8_E5M2", (32, 32)), "in F8_E5M2"),
        (without("2.ffn.0.weight"), "lacks blocks.2.ffn.0.weight"),
        (shaped("embedding.weight", "F32", (32, 36, 1, 2, 2)), "image-to-video"),
        (shaped("embedding.weight", "F8_E4M3", (32, 16, 1, 2, 2)), "never quantised"),
        (shaped("embedding.weight", "F32", ()), "shape [], not [32, 16, 1, 2, 2]"),
        (shaped("head.head.weight", "F32", (16, 32)), "shape [16, 32], not [64, 32]"),
        (shaped("text_embedding.0.weight", "F32", (32, 9)), "text_embedding.0.weight"),
        (without("patch_embedding.weight"), "a part of a checkpoint, or a LoRA"),
        (sized(SMALL), "width 1536 (Wan's 1.3B model)"),
        (sized(WIDE), "width 64 instead of 32"),
        (sized(DEEP), "ffn.0.weight of shape [64, 32], not [48, 32]"),
        (renamed("blocks.1.", "others.1."), "lacks 1 of its 3 blocks: 1"),
        (with_block(3), "has 4 blocks instead of 3"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_what_it_is(
    tmp_path: Path, preset: ModelPreset, change: Callable[[Tensors], Tensors], words: str
) -> None:
    file = tmp_path / "any.safetensors"
    write(file, change(whole("fp8")))
    error = refusal(single(file), preset)
    assert words in str(error.sentence)
    assert str(file) in str(error.sentence)
    assert error.file == file


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_other_precisions_refuse_fp8_too(
    tmp_path: Path, presets: Presets, precision: Precision
) -> None:
    file = tmp_path / "any.safetensors"
    write(file, whole("fp8"))
    promised = f"in F8_E4M3, and {precision.upper()} is expected"
    assert promised in str(refusal(single(file), model(presets, precision)).sentence)


def test_a_folder_of_blocks_is_checked_block_by_block(tmp_path: Path, preset: ModelPreset) -> None:
    write_blocks(tmp_path, "fp8")
    at, last = folder_of(tmp_path), tmp_path / "block_2.safetensors"
    check_transformer(at, preset)
    write(last, block(1, "fp8"))
    assert "lacks blocks.2.self_attn.q.weight" in str(refusal(at, preset).sentence)
    write(last, without(".weight_scale")(block(2, "fp8")))
    assert "without their scales" in str(refusal(at, preset).sentence)
    write(last, renamed(".weight_scale", ".scale_weight")(block(2, "fp8")))
    assert "ComfyUI's layout" in str(refusal(at, preset).sentence)
    last.unlink()
    assert "lacks 1 of its 3 blocks: 2" in str(refusal(at, preset).sentence)
    write(last, block(2, "fp8"))
    write(tmp_path / "block_3.safetensors", block(3, "fp8"))
    assert "has 4 blocks instead of 3" in str(refusal(at, preset).sentence)


def test_another_model_is_named_before_its_blocks_are_counted(
    tmp_path: Path, preset: ModelPreset
) -> None:
    write_blocks(tmp_path, "fp8", SMALL.model_copy(update={"layers": 2}))
    assert "1.3B" in str(refusal(folder_of(tmp_path), preset).sentence)


def test_a_second_transformer_in_the_folder_would_be_loaded_over_the_first(
    tmp_path: Path, preset: ModelPreset
) -> None:
    write_blocks(tmp_path, "fp8")
    write(tmp_path / "lightvaew2_1.safetensors", {"decoder.conv.weight": ("BF16", (4, 4))})
    (tmp_path / "._block_0.safetensors").write_bytes(b"what macOS leaves on foreign disks")
    check_transformer(folder_of(tmp_path), preset)
    for key in ("blocks.0.ffn.0.weight", "head.head.weight", "model.diffusion_model.x"):
        write(tmp_path / "second.safetensors", {key: ("BF16", (4, 4))})
        error = refusal(folder_of(tmp_path), preset)
        assert "would overwrite it" in str(error.sentence)
        assert "Move it" in str(error.remedy)


# ---- files that aren't whole ---------------------------------------------------------------


def test_a_header_is_read_without_its_data(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    write(file, {"x": ("F8_E4M3", (2, 3)), "y": ("F32", ())})
    assert dict(read_header(file)) == {
        "x": TensorHeader("F8_E4M3", (2, 3), 0, 6),
        "y": TensorHeader("F32", (), 6, 10),
    }


@pytest.mark.parametrize("layout", ["blocks", "single"])
def test_a_download_cut_off_is_told_with_both_sizes(
    tmp_path: Path, preset: ModelPreset, layout: str
) -> None:
    file = tmp_path / "block_1.safetensors"
    if layout == "blocks":
        write_blocks(tmp_path, "fp8")
    else:
        write(file, whole("fp8"))
    size = file.stat().st_size
    for kept in (size - 1, size // 2, 100, 60, 8, 4, 0):
        file.write_bytes(file.read_bytes()[:kept])
        error = refusal(folder_of(tmp_path) if layout == "blocks" else single(file), preset)
        assert isinstance(error, DamagedFile)
        assert error.file == file
        assert f"{kept:,} bytes" in str(error.sentence) or f"only {kept} bytes" in str(
            error.sentence
        )
        assert "ownload it again" in str(error.remedy)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"\n  <HTML><body>404", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(40), "a PyTorch or ZIP archive"),
        (b"GGUF\x03" + bytes(40), "GGUF"),
        (bytes(64), "isn't a safetensors file"),
        (b"\xff" * 64, "isn't a safetensors file"),
        ((MAX_HEADER + 1).to_bytes(8, "little") + b"{" * 40, "isn't a safetensors file"),
    ],
)
def test_what_isnt_safetensors_is_called_what_it_is(
    tmp_path: Path, data: bytes, words: str
) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(data)
    with pytest.raises(DamagedFile, match=words):
        read_header(file)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"{not json",
        b"{" + b'"a":{' * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"\xff": 1}',
        *(
            json.dumps({"a": entry}).encode()
            for entry in (
                7,
                {},
                ENTRY | {"dtype": 4},
                ENTRY | {"shape": [-2]},
                ENTRY | {"shape": [2.0]},
                ENTRY | {"shape": [3]},
                ENTRY | {"data_offsets": [8, 0]},
                ENTRY | {"data_offsets": [8]},
                ENTRY | {"data_offsets": "08"},
            )
        ),
    ],
)
def test_a_damaged_header_is_no_crash(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "a.safetensors"
    write_raw(file, header, bytes(8))
    with pytest.raises(DamagedFile, match="is damaged"):
        read_header(file)


def test_data_that_no_header_speaks_of_is_damage(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    write_raw(file, json.dumps({"a": ENTRY}).encode(), bytes(9))
    with pytest.raises(DamagedFile, match="1 more than its header says"):
        read_header(file)


def test_a_file_that_isnt_there_or_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(DamagedFile, match="can't be read"):
            read_header(place)


def test_the_real_shapes_weigh_what_the_preset_says(presets: Presets) -> None:
    """The preset's architecture times one byte a weight is upstream's size of the download."""
    preset = presets.models["wan2.1-t2v-14b-fp8"]
    its, file = preset.architecture, preset.weight_file("transformer")
    assert its is not None
    assert file is not None
    shapes = [s for d, s in block(0, "fp8", its).values() if d == "F8_E4M3"]
    blocks = its.layers * sum(rows * columns for rows, columns in shapes)
    assert 0.9 * file.bytes < blocks < file.bytes
