"""Writes small LoRAs as trainers do, with the standard library: no test of the room needs torch."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.presets import Architecture, ModelPreset, load_presets

DIM, FFN, LAYERS = 16, 32, 2
PARTS = ("self_attn.q", "self_attn.o", "cross_attn.k", "ffn.0", "ffn.2")
DIFFUSERS = {
    "self_attn.q": "attn1.to_q",
    "self_attn.o": "attn1.to_out.0",
    "cross_attn.k": "attn2.to_k",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}


def small_model(**more: object) -> ModelPreset:
    """A model of Wan's architecture that the LoRAs of ``layers`` are for."""
    shape = Architecture(layers=LAYERS, dim=DIM, ffn_dim=FFN, heads=2, text_dim=16)
    whole = load_presets().models["wan2.1-t2v-14b-fp8"]
    return whole.model_copy(update={"architecture": shape, "adapters": True, **more})


def write(
    file: Path,
    tensors: Mapping[str, Sequence[int]],
    metadata: Mapping[str, str] | None = None,
    values: Mapping[str, float] | None = None,
) -> Path:
    """``tensors``: shapes by name, of zeros in float32; ``values``: what single ones hold."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    data = b""
    for name, shape in tensors.items():
        count = math.prod(shape)
        value = (values or {}).get(name, 0.0)
        held = struct.pack(f"<{count}f", *[value] * count)
        offsets = [len(data), len(data) + len(held)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        data += held
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return file


def sides(part: str, dim: int = DIM, ffn: int = FFN) -> tuple[int, int]:
    """Outputs and inputs of a layer."""
    return {"ffn.0": (ffn, dim), "ffn.2": (dim, ffn)}.get(part, (dim, dim))


def layers(
    scheme: str = "wan", rank: int = 4, blocks: int = LAYERS, dim: int = DIM, ffn: int = FFN
) -> dict[str, Sequence[int]]:
    """The tensors of a LoRA on some layers of each block, as ``scheme`` names them."""
    found: dict[str, Sequence[int]] = {}
    for block in range(blocks):
        for part in PARTS:
            out, into = sides(part, dim, ffn)
            down, up = f"{named(scheme, block, part)}.", ("lora_down", "lora_up")
            if scheme in ("diffusers", "wan"):
                up = ("lora_A", "lora_B")
            found[f"{down}{up[0]}.weight"] = (rank, into)
            found[f"{down}{up[1]}.weight"] = (out, rank)
            if scheme == "kohya":
                found[f"{down}alpha"] = ()
    return found


def named(scheme: str, block: int, part: str) -> str:
    """A layer's name in a file."""
    if scheme == "kohya":
        return f"lora_unet_blocks_{block}_{part.replace('.', '_')}"
    if scheme == "diffusers":
        return f"transformer.blocks.{block}.{DIFFUSERS[part]}"
    prefix = {"wan": "diffusion_model.", "lightx2v": "", "comfy": "model.diffusion_model."}
    return f"{prefix[scheme]}blocks.{block}.{part}"
