"""The settings that LightX2V reads: every key that its defaults would get wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.pipelines.lightx2v.settings import model_settings, run_settings, write_run_folder
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset, load_presets
from engine.weights.checkpoint import Checkpoint

FILES = Checkpoint("blocks", Path("/w/dit"), Path("/w/t5.pth"), Path("/w/tok"), Path("/w/v"), 1, 1)
VALUES: dict[str, str | int] = {
    "precision": "fp8",
    "attention": "sage_attn2",
    "matmul": "fp8-triton",
    "text_encoder": "fp8-triton",
    "offload": "block",
    "decode": "whole",
    "rope_chunk": 0,
    "compile": "off",
    "modulation": "triton",
}


@pytest.fixture(scope="module")
def presets() -> dict[str, ModelPreset]:
    models = load_presets().models
    return {name: models[f"wan2.1-t2v-14b-{name}"] for name in ("fp8", "int8", "bf16")}


def plan(**changes: str | int) -> Plan:
    return {name: Choice(value, "") for name, value in (VALUES | changes).items()}


def settings(preset: ModelPreset, cuda: bool = True, **changes: str | int) -> dict[str, Any]:
    return run_settings(preset, plan(**changes), FILES, cuda)


def test_distilled_without_guidance_and_without_a_cache(presets: dict[str, ModelPreset]) -> None:
    run = settings(presets["fp8"])
    assert run["denoising_step_list"] == [1000, 750, 500, 250]
    assert run["infer_steps"] == 4
    assert (run["sample_shift"], run["sample_guide_scale"], run["fps"]) == (5.0, 1.0, 16)
    assert run["enable_cfg"] is False
    assert run["feature_caching"] == "NoCaching"
    assert run["target_video_length"] == presets["fp8"].default.frames
    assert run["text_len"] == 512
    assert run["use_image_encoder"] is False
    assert run["rope_type"] == "torch_complex_rope"


def test_fp8_with_its_scheme_and_every_path(presets: dict[str, ModelPreset]) -> None:
    run = settings(presets["fp8"])
    assert run["dit_quantized"] is True
    assert run["dit_quant_scheme"] == run["t5_quant_scheme"] == "fp8-triton"
    assert run["dit_quantized_ckpt"] == "/w/dit"
    assert run["t5_quantized"] is True
    assert run["t5_quantized_ckpt"] == "/w/t5.pth"
    assert run["t5_tokenizer_path"] == "/w/tok"
    assert run["vae_path"] == "/w/v"
    assert "dit_original_ckpt" not in run
    assert "t5_original_ckpt" not in run


def test_bf16_has_no_scheme(presets: dict[str, ModelPreset]) -> None:
    run = settings(presets["bf16"], precision="bf16", matmul="Default", text_encoder="Default")
    assert run["dit_original_ckpt"] == "/w/dit"
    assert "dit_quant_scheme" not in run
    assert not run.get("dit_quantized")
    if not run["t5_quantized"]:
        assert run["t5_original_ckpt"] == "/w/t5.pth"


@pytest.mark.parametrize(
    ("offload", "away", "lazy"),
    [
        ("resident", False, False),
        ("block", True, False),
        ("block-exact", True, False),
        ("lazy", True, True),
    ],
)
def test_offload(presets: dict[str, ModelPreset], offload: str, away: bool, lazy: bool) -> None:
    run = settings(presets["fp8"], offload=offload)
    assert (run["cpu_offload"], run["vae_cpu_offload"]) == (away, away)
    assert run["t5_cpu_offload"], "it is awake for a moment only"
    assert run.get("offload_granularity") == ("block" if away else None)
    assert run.get("lazy_load", False) is lazy


def test_tiles_chunks_and_compilation(presets: dict[str, ModelPreset]) -> None:
    plain = settings(presets["fp8"])
    assert (plain["use_tiling_vae"], plain["rope_chunk"], plain["use_compile"]) == (False,) * 3
    assert "rope_chunk_size" not in plain
    run = settings(presets["fp8"], decode="tiled", rope_chunk=4096, compile="on")
    assert (run["use_tiling_vae"], run["rope_chunk"], run["use_compile"]) == (True,) * 3
    assert run["rope_chunk_size"] == 4096


@pytest.mark.parametrize(
    ("chosen", "named"),
    [("sage_attn1", "sage_attn2"), ("sage_attn2", "sage_attn2"), ("torch_sdpa", "torch_sdpa")],
)
def test_attention_under_the_name_that_lightx2v_knows(
    presets: dict[str, ModelPreset], chosen: str, named: str
) -> None:
    run = settings(presets["fp8"], attention=chosen)
    for part in ("self_attn_1", "cross_attn_1", "cross_attn_2"):
        assert run[f"{part}_type"] == named


def test_a_cpu_has_no_triton(presets: dict[str, ModelPreset]) -> None:
    run = settings(presets["fp8"], cuda=False, modulation="torch")
    assert run["modulate_type"] == "torch"
    assert run["rms_norm_type"] == run["layer_norm_type"] == "torch"
    assert "rms_norm_type" not in settings(presets["fp8"])


def test_the_folder_holds_both_files(presets: dict[str, ModelPreset], tmp_path: Path) -> None:
    model, run = model_settings(presets["fp8"]), settings(presets["fp8"])
    for _ in range(2):  # a second start writes over the first's
        file = write_run_folder(tmp_path / "a" / "b", model, run)
    assert json.loads(file.read_text()) == run
    assert json.loads((file.parent / "config.json").read_text()) == model
    shape = {name: model[name] for name in ("dim", "num_heads", "num_layers", "ffn_dim")}
    assert shape == {"dim": 5120, "num_heads": 40, "num_layers": 40, "ffn_dim": 13824}
    assert (model["in_dim"], model["out_dim"], model["freq_dim"]) == (16, 16, 256)
