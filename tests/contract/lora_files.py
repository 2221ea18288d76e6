"""LoRAs for the tiny transformer, in the names of three trainers, and what they make of it.

All values are small fractions of two, so that every sum of products is exact in float32.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.contract.checkpoints import DIM, FFN, LAYERS, TEXT_DIM

RANK, ALPHA = 4, 2.0
SIDES = {
    **{f"{kind}.{part}": (DIM, DIM) for kind in ("self_attn", "cross_attn") for part in "qkvo"},
    "ffn.0": (FFN, DIM),
    "ffn.2": (DIM, FFN),
}
BESIDE = {"text_embedding.0": (DIM, TEXT_DIM), "head.head": (64, DIM)}
DIFFUSERS = {
    **{f"self_attn.{part}": f"attn1.to_{part}" for part in "qkv"},
    **{f"cross_attn.{part}": f"attn2.to_{part}" for part in "qkv"},
    "self_attn.o": "attn1.to_out.0",
    "cross_attn.o": "attn2.to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "head.head": "proj_out",
}


@dataclass
class Lora:
    """``products``: up, down and alpha by layer; ``differences`` by the checkpoint's tensor."""

    products: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = field(default_factory=dict)
    differences: dict[str, torch.Tensor] = field(default_factory=dict)


def lora(seed: int, blocks: Iterable[int] = range(LAYERS), beside: bool = True) -> Lora:
    """On every layer of ``blocks``; alphas differ by layer."""
    generator = torch.Generator().manual_seed(seed)

    def fractions(*shape: int) -> torch.Tensor:
        return torch.randint(-3, 4, shape, generator=generator).float() / 16

    sides = {f"blocks.{n}.{part}": side for n in blocks for part, side in SIDES.items()}
    made = Lora()
    for index, (layer, (out, into)) in enumerate((sides | (BESIDE if beside else {})).items()):
        made.products[layer] = fractions(out, RANK), fractions(RANK, into), ALPHA * (1 + index % 2)
    for block in blocks:
        made.differences[f"blocks.{block}.self_attn.q.bias"] = fractions(DIM)
        made.differences[f"blocks.{block}.self_attn.norm_q.weight"] = fractions(DIM)
        made.differences[f"blocks.{block}.modulation"] = fractions(1, 6, DIM)
    return made


def write(file: Path, made: Lora, scheme: str) -> None:
    """As ``scheme`` has it: wan, kohya or diffusers. The last keeps no alphas."""
    tensors: dict[str, torch.Tensor] = {}
    down, up = ("lora_A", "lora_B") if scheme == "diffusers" else ("lora_down", "lora_up")
    for layer, (high, low, alpha) in made.products.items():
        name = named(layer, scheme)
        factor = alpha / RANK if scheme == "diffusers" else 1.0
        tensors[f"{name}.{up}.weight"] = (high * factor).to(torch.bfloat16)
        tensors[f"{name}.{down}.weight"] = low.to(torch.bfloat16)
        if scheme != "diffusers":
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    for tensor, difference in made.differences.items():
        layer, _, kind = tensor.rpartition(".")
        ending = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}[kind]
        tensors[f"diffusion_model.{layer}.{ending}"] = difference
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, {"trigger_words": "ohwx"})


def write_both(file: Path, first: Path, second: Path) -> None:
    """One file for Wan 2.2's two transformers, as diffusers names them, of two in its names."""
    both = load_file(first)
    for name, tensor in load_file(second).items():
        rest = name.removeprefix("transformer.").removeprefix("diffusion_model.")
        both[f"transformer_2.{rest}"] = tensor
    save_file(both, file)


def named(layer: str, scheme: str) -> str:
    if scheme == "kohya":
        return f"lora_unet_{layer.replace('.', '_')}"
    if scheme == "wan":
        return f"diffusion_model.{layer}"
    block, _, part = layer.partition(".")[2].partition(".")
    if layer in DIFFUSERS:
        return f"transformer.{DIFFUSERS[layer]}"
    return f"transformer.blocks.{block}.{DIFFUSERS[part]}"


def merged(
    tensors: Mapping[str, torch.Tensor], made: Iterable[tuple[Lora, float]]
) -> dict[str, torch.Tensor]:
    """The bf16 checkpoint ``tensors`` with each LoRA at its strength."""
    found = {name: tensor.float() for name, tensor in tensors.items()}
    for one, strength in made:
        for layer, (up, down, alpha) in one.products.items():
            found[f"{layer}.weight"] += strength * alpha / RANK * (up @ down)
        for tensor, difference in one.differences.items():
            found[tensor] += strength * difference
    return {name: tensor.to(torch.bfloat16) for name, tensor in found.items()}
