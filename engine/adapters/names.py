"""Which of Wan's layers a LoRA's tensor is for, whoever trained it.

Trainers name the same layers in three ways: Wan's own names (``blocks.0.self_attn.q``; LightX2V's
files have them too), those of diffusers (``blocks.0.attn1.to_q``), and either with underscores
(``lora_unet_blocks_0_self_attn_q``), as kohya's scripts do. Checkpoints have the first.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["wan", "diffusers", "kohya"]
Part = Literal["down", "up", "alpha", "diff", "diff_b", "diff_m"]

# By what stands behind the layer's name.
_PARTS: Mapping[str, Part] = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_b",
    "diff_m": "diff_m",
}
_OTHER_METHODS: Mapping[str, str] = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "boft_": "BOFT",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_mid": "LoCon-CP",
    "glora_": "GLoRA",
}
_PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.")
SECOND = "transformer_2."  # diffusers' name of the transformer of the later steps
_UNDERSCORED = re.compile(r"(?:lora_unet|lora_transformer|lycoris)_+(.+)")

_BLOCK: Mapping[str, str] = {  # diffusers' name: Wan's
    **{f"attn1.to_{part}": f"self_attn.{part}" for part in "qkv"},
    **{f"attn2.to_{part}": f"cross_attn.{part}" for part in "qkv"},
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "attn1.norm_q": "self_attn.norm_q",
    "attn1.norm_k": "self_attn.norm_k",
    "attn2.norm_q": "cross_attn.norm_q",
    "attn2.norm_k": "cross_attn.norm_k",
    "attn2.norm_added_k": "cross_attn.norm_k_img",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm3",
}
_BESIDE: Mapping[str, str] = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
}
# A block itself and the head have no layer of their own but a modulation.
_OWN_IN_BLOCK = frozenset(_BLOCK.values()) | {""}
_OWN_BESIDE = frozenset(_BESIDE.values()) | {"patch_embedding", "head"}
_IN_BLOCK = re.compile(r"blocks\.(0|[1-9]\d{0,3})(?:\.(.+))?")
_IN_BLOCK_UNDERSCORED = re.compile(r"blocks_(0|[1-9]\d{0,3})(?:_(.+))?")


def _underscored(names: Mapping[str, str], own: frozenset[str]) -> dict[str, str]:
    both = {name: name for name in own} | dict(names)
    return {name.replace(".", "_"): layer for name, layer in both.items()}


_BLOCK_UNDERSCORED = _underscored(_BLOCK, _OWN_IN_BLOCK)
_BESIDE_UNDERSCORED = _underscored(_BESIDE, _OWN_BESIDE)


@dataclass(frozen=True)
class Key:
    """A tensor of a LoRA's file: the layer of Wan's that it is for, and what of the change.
    ``second``: of the transformer of the later steps, in a file that holds both."""

    layer: str
    part: Part
    scheme: Scheme
    second: bool = False

    @property
    def tensor(self) -> str:
        """The tensor of the checkpoint that it changes."""
        if self.part == "diff_m":
            return f"{self.layer}.modulation"
        return f"{self.layer}.{'bias' if self.part == 'diff_b' else 'weight'}"


def read_key(name: str) -> Key | None:
    """What the tensor ``name`` is for; None where that is no layer of Wan's."""
    for ending, part in _PARTS.items():
        if name.endswith(f".{ending}"):
            second = name.startswith(SECOND)
            found = _layer(name.removeprefix(SECOND)[: -len(ending) - 1])
            return Key(found[0], part, found[1], second) if found else None
    return None


def other_method(names: Iterator[str]) -> str | None:
    """How the file was trained, if that is another way than LoRA; the name of the method."""
    for name in names:
        for sign, method in _OTHER_METHODS.items():
            if f".{sign}" in name:
                return method
    return None


def _layer(name: str) -> tuple[str, Scheme] | None:
    if underscored := _UNDERSCORED.fullmatch(name):
        layer = _of_underscores(underscored[1])
        return (layer, "kohya") if layer is not None else None
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    inside = _IN_BLOCK.fullmatch(name)
    if inside is None:
        if name in _OWN_BESIDE:
            return name, "wan"
        return (_BESIDE[name], "diffusers") if name in _BESIDE else None
    block, part = f"blocks.{inside[1]}", inside[2] or ""
    if part in _OWN_IN_BLOCK:
        return f"{block}.{part}".rstrip("."), "wan"
    return (f"{block}.{_BLOCK[part]}", "diffusers") if part in _BLOCK else None


def _of_underscores(name: str) -> str | None:
    inside = _IN_BLOCK_UNDERSCORED.fullmatch(name)
    if inside is None:
        return _BESIDE_UNDERSCORED.get(name)
    part = _BLOCK_UNDERSCORED.get(inside[2] or "")
    return None if part is None else f"blocks.{inside[1]}.{part}".rstrip(".")


# ---- other models ------------------------------------------------------------------------------

# What stands in the names of other models' layers, and those models; the first that is found.
_OTHERS: tuple[tuple[str, str], ...] = (
    ("double_blocks", "Flux / HunyuanVideo"),
    ("single_blocks", "Flux / HunyuanVideo"),
    ("single_transformer_blocks", "Flux"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("transformer_blocks", "Flux / Qwen-Image / LTX-Video"),
    ("down_blocks", "Stable Diffusion (XL)"),
    ("input_blocks", "Stable Diffusion (XL)"),
    ("lora_te", "Stable Diffusion (XL)"),
)


def other_model(names: Iterator[str]) -> str | None:
    """The models whose layers are called like one of ``names``."""
    for name in names:
        for sign, model in _OTHERS:
            if sign in name:
                return model
    return None
