"""The settings that LightX2V reads, made from preset, plan and files: its one source of truth."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.home import LANE, Home
from engine.pipelines.lightx2v.kernels import registered
from engine.pipelines.lightx2v.ours import scheme_for
from engine.plan.choice import Plan
from engine.plan.kernel_options import NORMS
from engine.presets import LATENT_CHANNELS, FamilyName, ModelPreset
from engine.request import Size
from engine.weights.checkpoint import Checkpoint

MODEL_CLASSES: Mapping[FamilyName, str] = {
    "wan2.1": "wan2.1_distill",
    "wan2.2": "wan2.2_moe_distill",
}


def run_settings(
    preset: ModelPreset, plan: Plan, checkpoint: Checkpoint, cuda: bool
) -> dict[str, Any]:
    """Every key that LightX2V's path from text or picture to video reads and whose default is wrong
    for us.

    Args:
        cuda: whether LightX2V drives a GPU; its Triton kernels don't run on a CPU.
    """
    settings = _sampling(preset) | _memory(plan) | _transformer(plan, checkpoint)
    settings |= _text_encoder(preset, plan, checkpoint)
    settings["vae_path"] = str(checkpoint.vae)
    settings["use_image_encoder"] = False  # repairs.no_image_encoder
    # Its default needs flashinfer, which is no part of LightX2V (transformer_weights.py:365).
    settings["rope_type"] = "torch_complex_rope"
    modulation = plan["modulation"].value
    settings["modulate_type"] = "torch" if modulation == "torch" else "triton"
    if modulation == NORMS:
        settings |= dict.fromkeys(("rope_type", "rms_norm_type", "layer_norm_type"), NORMS)
        settings["rope_chunk"] = False  # in their place, whatever the plan says of chunks
    if not cuda:
        settings["rms_norm_type"] = settings["layer_norm_type"] = "torch"
    return settings


def model_class(preset: ModelPreset) -> str:
    """LightX2V's name of what drives ``preset``."""
    return MODEL_CLASSES[preset.family]


def model_settings(preset: ModelPreset) -> dict[str, Any]:
    """What LightX2V wants to find in the model's config.json."""
    shape = preset.architecture
    assert shape is not None
    return {
        "model_type": preset.task,
        "dim": shape.dim,
        "ffn_dim": shape.ffn_dim,
        "freq_dim": shape.freq_dim,
        "num_heads": shape.heads,
        "num_layers": shape.layers,
        "in_dim": preset.channels,
        "out_dim": LATENT_CHANNELS,
        "text_len": shape.text_len,
        "eps": 1e-6,
    }


def run_folder(home: Home, preset: ModelPreset) -> Path:
    """Where the settings are that ``preset`` was loaded with last: in each lane its own, as two
    workers may load one model at once."""
    return home.cache / "lightx2v" / preset.id / os.environ.get(LANE, "")


def write_run_folder(folder: Path, model: dict[str, Any], run: dict[str, Any]) -> Path:
    """``config.json`` and ``run.json`` in ``folder``; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model, indent=1), encoding="utf-8")
    file = folder / "run.json"
    file.write_text(json.dumps(run, indent=1), encoding="utf-8")
    return file


def _sampling(preset: ModelPreset) -> dict[str, Any]:
    shape = preset.default
    assert preset.architecture is not None
    # Where there are two transformers: without it a KeyError (step_distill/scheduler.py:73).
    turns = {} if preset.boundary_step is None else {"boundary_step_index": preset.boundary_step}
    return turns | {
        "infer_steps": preset.steps,
        "denoising_step_list": list(preset.denoising_steps),
        "sample_shift": preset.shift,
        "sample_guide_scale": preset.guidance,
        "enable_cfg": False,
        "feature_caching": "NoCaching",
        "fps": preset.fps,
        "text_len": preset.architecture.text_len,
        **target(Size(shape.height, shape.width, shape.frames)),
    }


def target(size: Size) -> dict[str, int]:
    """``size`` as LightX2V's settings say it."""
    return {
        "target_height": size.height,
        "target_width": size.width,
        "target_video_length": size.frames,
    }


def _memory(plan: Plan) -> dict[str, Any]:
    offload, chunk = plan["offload"].value, int(plan["rope_chunk"].value)
    away = offload != "resident"
    settings: dict[str, Any] = {
        "cpu_offload": away,
        # Always: it wakes for new prompts only, and LightX2V's resident T5 knows fewer kernels.
        "t5_cpu_offload": True,
        "vae_cpu_offload": away,
        "use_tiling_vae": plan["decode"].value == "tiled",
        "use_compile": plan["compile"].value == "on",
        "rope_chunk": chunk > 0,
    }
    if away:
        settings["offload_granularity"] = "block"  # without it a KeyError
    if offload == "lazy":
        settings["lazy_load"] = True
    if chunk:
        settings["rope_chunk_size"] = chunk
    return settings


def _transformer(plan: Plan, checkpoint: Checkpoint) -> dict[str, Any]:
    kernel = registered(str(plan["attention"].value))
    settings: dict[str, Any] = dict.fromkeys(
        ("self_attn_1_type", "cross_attn_1_type", "cross_attn_2_type"), kernel
    )
    quantised = plan["precision"].value != "bf16"
    if quantised:
        scheme = scheme_for(str(plan["matmul"].value))
        settings |= {"dit_quantized": True, "dit_quant_scheme": scheme}
    kind = "quantized" if quantised else "original"
    if checkpoint.transformer_2 is None:
        return settings | {f"dit_{kind}_ckpt": str(checkpoint.transformer)}
    # Never "dit_quantized_ckpt" here: both would be read from that one file, without a word
    # (base_model.py:483).
    return settings | {
        f"high_noise_{kind}_ckpt": str(checkpoint.transformer),
        f"low_noise_{kind}_ckpt": str(checkpoint.transformer_2),
    }


def _text_encoder(preset: ModelPreset, plan: Plan, checkpoint: Checkpoint) -> dict[str, Any]:
    settings: dict[str, Any] = {"t5_tokenizer_path": str(checkpoint.tokenizer)}
    file = preset.weight_file("text_encoder")
    if file is None or file.precision == "bf16":
        return settings | {
            "t5_quantized": False,
            "t5_original_ckpt": str(checkpoint.text_encoder),
        }
    # Always with its path: without one LightX2V stores False and finds nothing (utils.py:446).
    return settings | {
        "t5_quantized": True,
        "t5_quant_scheme": plan["text_encoder"].value,
        "t5_quantized_ckpt": str(checkpoint.text_encoder),
    }
