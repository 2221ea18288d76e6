"""Tiny checkpoints of the real model's layouts, written byte by byte: numpy knows no FP8.

They hold zeros; what is checked is what a header says.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from engine.presets import Architecture, ModelPreset, Precision
from engine.weights.safetensors_header import BYTES

Tensors = dict[str, tuple[str, tuple[int, ...]]]

TINY = Architecture(layers=3, dim=32, ffn_dim=48, heads=2, text_dim=24)
QUANTISED = {"fp8": "F8_E4M3", "int8": "I8", "bf16": "BF16"}


def write(file: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """A whole safetensors file of zeros."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    write_raw(file, json.dumps(header).encode(), bytes(end))


def write_raw(file: Path, header: bytes, data: bytes = b"") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(len(header).to_bytes(8, "little") + header + data)


def tiny(preset: ModelPreset) -> ModelPreset:
    """The real preset with a transformer that fits a test."""
    return preset.model_copy(update={"architecture": TINY})


def rest(its: Architecture = TINY) -> Tensors:
    """What stands around the blocks."""
    return {
        "patch_embedding.weight": ("F32", (its.dim, 16, 1, 2, 2)),
        "patch_embedding.bias": ("F32", (its.dim,)),
        "text_embedding.0.weight": ("F32", (its.dim, its.text_dim)),
        "head.head.weight": ("F32", (64, its.dim)),
    }


def block(index: int, precision: Precision, its: Architecture = TINY) -> Tensors:
    """One transformer block, as LightX2V's converter writes it."""
    shapes = {f"{a}_attn.{n}": (its.dim, its.dim) for a in ("self", "cross") for n in "qkvo"}
    shapes |= {"ffn.0": (its.ffn_dim, its.dim), "ffn.2": (its.dim, its.ffn_dim)}
    made: Tensors = {f"blocks.{index}.modulation": ("F32", (1, 6, its.dim))}
    for name, (out, into) in shapes.items():
        layer = f"blocks.{index}.{name}"
        made[f"{layer}.weight"] = (QUANTISED[precision], (out, into))
        made[f"{layer}.bias"] = ("BF16", (out,))
        if precision != "bf16":
            made[f"{layer}.weight_scale"] = ("F32", (out, 1))
    return made


def whole(precision: Precision, its: Architecture = TINY) -> Tensors:
    """The single file's tensors."""
    made = rest(its)
    for index in range(its.layers):
        made |= block(index, precision, its)
    return made


def write_blocks(folder: Path, precision: Precision, its: Architecture = TINY) -> None:
    write(folder / "non_block.safetensors", rest(its))
    for index in range(its.layers):
        write(folder / f"block_{index}.safetensors", block(index, precision, its))


def write_others(folder: Path, precision: Precision) -> None:
    """Text encoder, VAE and tokenizer; ``folder`` is one like distill_fp8."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"models_t5_umt5-xxl-enc-{precision}.pth").write_bytes(b"PK\x03\x04" + bytes(60))
    (folder / "Wan2.1_VAE.pth").write_bytes(b"PK\x03\x04")
    tokenizer = folder / "google/umt5-xxl"
    tokenizer.mkdir(parents=True)
    (tokenizer / "tokenizer.json").write_text("{}")
