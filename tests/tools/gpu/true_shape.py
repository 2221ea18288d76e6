"""Writes checkpoints of the real models' shapes, 22 GB of random numbers in a minute, 36 GB of two
transformers.

One block's bytes serve all forty, because only their names differ.
"""

import json
import math
from pathlib import Path

import torch

from engine.presets import TRANSFORMERS, Architecture, ModelPreset, load_presets
from tests.contract import checkpoints
from tests.contract.checkpoints import LARGEST, STORED
from tests.tools.gpu import pretend
from tests.tools.gpu.rows import I2V, MODEL

T5 = {"vocabulary": 256_384, "dim": 4096, "ffn": 10_240, "layers": 24, "heads": 64, "buckets": 32}
NAMES = {
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
}


def write(folder: Path) -> None:
    """Every part of MODEL, FP8 or INT8, under ``folder``; what is there already is left alone."""
    preset = load_presets().models[MODEL]
    assert preset.architecture is not None
    precision = str(preset.precision)
    blocks = folder / f"distill_{precision}"
    blocks.mkdir(parents=True, exist_ok=True)
    if not (blocks / "non_block.safetensors").exists():
        _write_transformer(blocks, preset.architecture, precision)
    _write_others(blocks, precision)


def write_experts(folder: Path) -> None:
    """The same for I2V, whose two transformers differ in every weight and scale."""
    preset = load_presets().models[I2V]
    precision = str(preset.precision)
    for number, role in enumerate(TRANSFORMERS):
        part = preset.weight_file(role)
        assert part is not None
        file = folder / part.sources[0].path
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            # Nearly the size that a layer's output has: other scales are what they are told by.
            size = 1 - 0.1 * number
            _write_single(file, architecture(preset), preset.channels, precision, size)
    others = folder / f"distill_{precision}"
    others.mkdir(exist_ok=True)
    _write_others(others, precision)


def _write_others(blocks: Path, precision: str) -> None:
    """Text encoder, tokenizer and VAE."""
    text = blocks / f"models_t5_umt5-xxl-enc-{precision}.pth"
    if not text.exists():
        torch.save(_text_encoder(precision), text)
    if not (blocks / "google").exists():
        checkpoints.write_tokenizer(blocks / "google" / "umt5-xxl")
    if not (blocks / "Wan2.1_VAE.pth").exists():
        _write_vae(blocks / "Wan2.1_VAE.pth")


def linear(
    out: int,
    into: int,
    name: str,
    bias: bool = True,
    precision: str = "fp8",
    size: float = 1.0,
) -> dict[str, torch.Tensor]:
    """FP8 or INT8 weights with a scale a row, so that a layer about keeps its input's size, or
    ``size`` of it."""
    # torch's cast doesn't saturate: beyond 448 FP8 is not a number.
    spread = 100 if precision == "fp8" else 30
    most = LARGEST[precision]
    weight = torch.randn(out, into, device=pretend.DEVICE).mul_(spread).clamp_(-most, most)
    weight = weight.to(STORED[precision]).cpu()
    scale = torch.full((out, 1), size / (spread * math.sqrt(into)), dtype=torch.float32)
    tensors = {f"{name}.weight": weight, f"{name}.weight_scale": scale}
    if bias:
        tensors[f"{name}.bias"] = torch.zeros(out, dtype=torch.float32)
    return tensors


def _block(
    shape: Architecture, precision: str = "fp8", size: float = 1.0
) -> dict[str, torch.Tensor]:
    dim = shape.dim
    tensors = {"modulation": torch.randn(1, 6, dim) / math.sqrt(dim)}
    for attention in ("self_attn", "cross_attn"):
        for part in "qkvo":
            tensors |= linear(dim, dim, f"{attention}.{part}", precision=precision, size=size)
        for part in ("norm_q", "norm_k"):
            tensors[f"{attention}.{part}.weight"] = torch.ones(dim)
    tensors |= {"norm3.weight": torch.ones(dim), "norm3.bias": torch.zeros(dim)}
    tensors |= linear(shape.ffn_dim, dim, "ffn.0", precision=precision, size=size)
    return tensors | linear(dim, shape.ffn_dim, "ffn.2", precision=precision, size=size)


def _non_block(shape: Architecture, channels: int = 16) -> dict[str, torch.Tensor]:
    dim = shape.dim
    tensors: dict[str, torch.Tensor] = {}

    def plain(name: str, *size: int) -> None:
        spread = 1 / math.sqrt(math.prod(size[1:]))
        tensors[f"{name}.weight"] = torch.randn(*size) * spread
        tensors[f"{name}.bias"] = torch.zeros(size[0])

    plain("patch_embedding", dim, channels, 1, 2, 2)
    plain("text_embedding.0", dim, shape.text_dim)
    plain("text_embedding.2", dim, dim)
    plain("time_embedding.0", dim, shape.freq_dim)
    plain("time_embedding.2", dim, dim)
    plain("time_projection.1", 6 * dim, dim)
    plain("head.head", 64, dim)
    tensors["time_projection.1.weight"] *= 0.1  # or forty blocks' gates would let it grow
    return tensors | {"head.modulation": torch.randn(1, 2, dim) / math.sqrt(dim)}


def _write_transformer(folder: Path, shape: Architecture, precision: str) -> None:
    block = _block(shape, precision)
    data = b"".join(tensor.view(torch.uint8).numpy().tobytes() for tensor in block.values())
    for index in range(shape.layers):
        named = {f"blocks.{index}.{name}": tensor for name, tensor in block.items()}
        with open(folder / f"block_{index}.safetensors", "wb") as file:
            file.write(_header(named) + data)
    rest = _non_block(shape)
    data = b"".join(tensor.view(torch.uint8).numpy().tobytes() for tensor in rest.values())
    (folder / "non_block.safetensors").write_bytes(_header(rest) + data)


def _write_single(
    file: Path, shape: Architecture, channels: int, precision: str, size: float
) -> None:
    """All of a transformer in one file."""
    block, rest = _block(shape, precision, size), _non_block(shape, channels)
    named = {
        f"blocks.{index}.{name}": tensor
        for index in range(shape.layers)
        for name, tensor in block.items()
    }
    data = b"".join(tensor.view(torch.uint8).numpy().tobytes() for tensor in block.values())
    partial = file.with_suffix(".partial")
    with open(partial, "wb") as opened:
        opened.write(_header(named | rest))
        for _ in range(shape.layers):
            opened.write(data)
        for tensor in rest.values():
            opened.write(tensor.view(torch.uint8).numpy().tobytes())
    partial.replace(file)


def _header(tensors: dict[str, torch.Tensor]) -> bytes:
    header: dict[str, object] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _text_encoder(precision: str) -> dict[str, torch.Tensor]:
    dim, ffn = T5["dim"], T5["ffn"]
    words = torch.randn(1024, dim, dtype=torch.bfloat16)
    tensors = {
        "token_embedding.weight": words.repeat(-(-T5["vocabulary"] // 1024), 1)[: T5["vocabulary"]],
        "norm.weight": torch.ones(dim, dtype=torch.bfloat16),
    }
    block: dict[str, torch.Tensor] = {}
    for part in "qkvo":
        block |= linear(dim, dim, f"attn.{part}", False, precision)
    for part, sides in (("gate.0", (ffn, dim)), ("fc1", (ffn, dim)), ("fc2", (dim, ffn))):
        block |= linear(*sides, f"ffn.{part}", False, precision)
    block |= {f"norm{i}.weight": torch.ones(dim, dtype=torch.bfloat16) for i in (1, 2)}
    position = torch.randn(T5["buckets"], T5["heads"], dtype=torch.bfloat16)
    block["pos_embedding.embedding.weight"] = position
    for index in range(T5["layers"]):
        # torch.save keeps one block's storage for all of them: a quicker load than the real one's.
        tensors |= {f"blocks.{index}.{name}": tensor for name, tensor in block.items()}
    return tensors


def _write_vae(file: Path) -> None:
    from lightx2v.models.video_encoders.hf.wan import vae

    model = vae.WanVAE_(
        dim=96,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
        pruning_rate=0.0,
    )
    torch.save(model.state_dict(), file)


def architecture(preset: ModelPreset) -> Architecture:
    assert preset.architecture is not None
    return preset.architecture
