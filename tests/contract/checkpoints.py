"""Writes tiny random checkpoints in the layouts that the real ones have, and their model preset."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors.torch import load_file, save_file

Layout = Literal["blocks", "single"]
LAYERS, DIM, FFN, HEADS = 3, 64, 128, 4
TEXT_DIM, TEXT_VOCABULARY, TEXT_FFN, TEXT_LAYERS, TEXT_HEADS = 64, 512, 128, 2, 4
LARGEST = {"fp8": 448.0, "int8": 127.0}
STORED = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}
TINY_VAE = "taew2_1.pth"
EXPERTS = ("high_noise.safetensors", "low_noise.safetensors")
PROMPT_WORDS = "a red ball moves left over green grass; the blue moon drifts slowly right"


class Random:
    """Seeded bf16 tensors of a small spread."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, spread: float = 0.05) -> torch.Tensor:
        return (torch.randn(*shape, generator=self._generator) * spread).to(torch.bfloat16)


def quantise(weight: torch.Tensor, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """[out, in] and its scales [out, 1] float32, as LightX2V's converter makes them."""
    scale = (weight.float().abs().amax(1, keepdim=True) / LARGEST[precision]).clamp(min=1e-8)
    values = weight.float() / scale
    stored = values.round() if precision == "int8" else values
    return stored.to(STORED[precision]), scale


def transformer(precision: str, channels: int = 16, seed: int = 0) -> dict[str, torch.Tensor]:
    """Every tensor of a random Wan transformer by its name; 36 channels are image-to-video's."""
    random = Random(seed)
    tensors: dict[str, torch.Tensor] = {}

    def linear(name: str, out: int, into: int, quantised: bool = False) -> None:
        weight = random(out, into, spread=1 / math.sqrt(into))
        if quantised and precision in STORED:
            stored, scale = quantise(weight, precision)
            tensors.update({f"{name}.weight": stored, f"{name}.weight_scale": scale})
        else:
            tensors[f"{name}.weight"] = weight
        tensors[f"{name}.bias"] = random(out)

    tensors["patch_embedding.weight"] = random(DIM, channels, 1, 2, 2)
    tensors["patch_embedding.bias"] = random(DIM)
    linear("text_embedding.0", DIM, TEXT_DIM)
    linear("text_embedding.2", DIM, DIM)
    linear("time_embedding.0", DIM, 256)
    linear("time_embedding.2", DIM, DIM)
    linear("time_projection.1", 6 * DIM, DIM)
    linear("head.head", 64, DIM)
    tensors["head.modulation"] = random(1, 2, DIM)
    for block in range(LAYERS):
        name = f"blocks.{block}"
        tensors[f"{name}.modulation"] = random(1, 6, DIM)
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                linear(f"{name}.{attention}.{part}", DIM, DIM, quantised=True)
            for part in ("norm_q", "norm_k"):
                tensors[f"{name}.{attention}.{part}.weight"] = random(DIM) + 1
        tensors[f"{name}.norm3.weight"] = random(DIM) + 1
        tensors[f"{name}.norm3.bias"] = random(DIM)
        linear(f"{name}.ffn.0", FFN, DIM, quantised=True)
        linear(f"{name}.ffn.2", DIM, FFN, quantised=True)
    if precision not in STORED:
        return tensors
    # LightX2V's converter keeps all that isn't quantised in float32, biases too.
    return {
        name: tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        for name, tensor in tensors.items()
    }


def write_transformer(path: Path, tensors: Mapping[str, torch.Tensor], layout: Layout) -> None:
    if layout == "single":
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), path)
        return
    path.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        file = f"block_{parts[1]}" if parts[0] == "blocks" else "non_block"
        files.setdefault(file, {})[name] = tensor
    for file, held in files.items():
        save_file(held, path / f"{file}.safetensors")


def dequantised(tensors: Mapping[str, torch.Tensor], with_scales: bool = True) -> dict[str, Any]:
    """bf16 weights: times their scales, or without, as LightX2V reads them when not told."""
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_scale"):
            continue
        scale = tensors.get(f"{name}_scale")
        values = tensor.float()
        if scale is not None and with_scales:
            values = values * scale
        plain[name] = values.to(torch.bfloat16)
    return plain


def write_text_encoder(file: Path, precision: str = "bf16") -> None:
    random = Random(1)
    tensors: dict[str, torch.Tensor] = {
        "token_embedding.weight": random(TEXT_VOCABULARY, TEXT_DIM, spread=1),
        "norm.weight": random(TEXT_DIM) + 1,
    }

    def linear(name: str, out: int, into: int) -> None:
        weight = random(out, into, spread=1 / math.sqrt(into))
        if precision in STORED:
            stored, scale = quantise(weight, precision)
            tensors.update({f"{name}.weight": stored, f"{name}.weight_scale": scale})
        else:
            tensors[f"{name}.weight"] = weight

    for block in range(TEXT_LAYERS):
        name = f"blocks.{block}"
        tensors[f"{name}.norm1.weight"] = random(TEXT_DIM) + 1
        tensors[f"{name}.norm2.weight"] = random(TEXT_DIM) + 1
        for part in "qkvo":
            linear(f"{name}.attn.{part}", TEXT_DIM, TEXT_DIM)
        for part in ("gate.0", "fc1"):
            linear(f"{name}.ffn.{part}", TEXT_FFN, TEXT_DIM)
        linear(f"{name}.ffn.fc2", TEXT_DIM, TEXT_FFN)
        tensors[f"{name}.pos_embedding.embedding.weight"] = random(32, TEXT_HEADS)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, file)


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special)
    words.train_from_iterator([PROMPT_WORDS], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def i2v(name: str, precision: str) -> dict[str, Any]:
    """A tiny Wan 2.2's preset, of two transformers, as it stands in YAML."""
    one = preset(name, precision, "single")
    first, *others = one["weights"]
    first["sources"][0]["path"] = EXPERTS[0]
    second = {**first, "role": "transformer_2"}
    second["sources"] = [{**first["sources"][0], "path": EXPERTS[1]}]
    del one["pipeline"]
    return one | {
        "name": f"Tiny Wan 2.2 ({precision})",
        "summary": "A tiny random Wan 2.2 for tests.",
        "family": "wan2.2",
        "task": "i2v",
        "boundary_step": 2,
        "last_shift": 16.0,
        "weights": [first, second, *others],
    }


def preset(name: str, precision: str, layout: Layout, text: str = "bf16") -> dict[str, Any]:
    """The tiny model's preset as it stands in YAML."""
    path = f"distill_{precision}" if layout == "blocks" else "transformer.safetensors"

    def weights(role: str, path: str, layout: str, precision: str | None = None) -> dict[str, Any]:
        source = {"repo": "tests/tiny", "path": path, "layout": layout}
        return {"role": role, "precision": precision, "bytes": 1000, "sources": [source]}

    return {
        "id": name,
        "name": f"Tiny Wan ({precision})",
        "summary": "A tiny random Wan 2.1 for tests.",
        "pipeline": "lightx2v",
        "runs_on": "cpu",
        "adapters": True,
        "fps": 16,
        "steps": 4,
        "guidance": 1.0,
        "shift": 5.0,
        "precision": precision,
        "denoising_steps": [1000, 750, 500, 250],
        "architecture": {
            "layers": LAYERS,
            "dim": DIM,
            "ffn_dim": FFN,
            "heads": HEADS,
            "text_dim": TEXT_DIM,
        },
        "weights": [
            weights("transformer", path, layout, precision),
            weights("text_encoder", f"models_t5_umt5-xxl-enc-{text}.pth", "file", text),
            weights("tokenizer", "google/umt5-xxl", "folder"),
            weights("vae", "Wan2.1_VAE.pth", "file"),
            weights("tiny_vae", TINY_VAE, "file"),
        ],
        "default": {"height": 64, "width": 96, "frames": 9},
        "limits": {
            "height": {"min": 16, "max": 256},
            "width": {"min": 16, "max": 256},
            "frames": {"min": 1, "max": 33},
        },
        "memory": {
            "baseline": {"height": 256, "width": 256, "frames": 33},
            "baseline_peak_gib": 1.5,
            "minimum_gib": 2.0,
            "token_pixels": 4.0,
        },
    }


def write_preset(folder: Path, preset: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{preset['id']}.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")


def drop_scales(file: Path) -> None:
    """Every scale becomes one, as if it had been lost."""
    tensors = load_file(file)
    for name in tensors:
        if name.endswith("weight_scale"):
            tensors[name] = torch.ones_like(tensors[name])
    save_file(tensors, file)
