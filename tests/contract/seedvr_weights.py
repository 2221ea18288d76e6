"""Random weights of SeedVR2's network, by the names of LightX2V's (networks/seedvr/weights)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from engine.pipelines.seedvr.network import PROMPT

TRUE: Mapping[str, Any] = {
    "vid_dim": 2560,
    "txt_in_dim": 5120,
    "heads": 20,
    "num_layers": 32,
    "mm_layers": 10,
}
SMALL: Mapping[str, Any] = {
    "vid_dim": 256,
    "txt_dim": 256,
    "txt_in_dim": 512,
    "heads": 2,
    "num_layers": 4,
    "mm_layers": 2,
    "block_type": ["mmdit_sr"] * 4,
    "window": [(4, 3, 3)] * 4,
    "window_method": ["720pwin_by_size_bysize", "720pswin_by_size_bysize"] * 2,
}
HEAD = 128

Named = Iterator[tuple[str, torch.Tensor]]


def network(shape: Mapping[str, Any], device: str = "cpu") -> Named:
    """All of them, and the prompt that the file has, too."""
    wide, given, deep = shape["vid_dim"], shape["txt_in_dim"], shape["num_layers"]
    layers = {
        "vid_in.proj": (wide, 132),
        "txt_in": (wide, given),
        "emb_in.proj_in": (wide, 256),
        "emb_in.proj_hid": (wide, wide),
        "emb_in.proj_out": (6 * wide, wide),
        "vid_out.proj": (64, wide),
    }
    for name, of in layers.items():
        yield f"{name}.weight", torch.randn(of, device=device) * of[1] ** -0.5
        yield f"{name}.bias", torch.randn(of[0], device=device) * 0.02
    yield "vid_out_norm.weight", torch.ones(wide, device=device)
    yield "vid_out_ada.out_shift", torch.randn(wide, device=device) * 0.02
    yield "vid_out_ada.out_scale", 1 + torch.randn(wide, device=device) * 0.02
    for index in range(deep):
        for kind in ("vid", "txt") if index < shape["mm_layers"] else ("all",):
            yield from _block(f"blocks.{index}", kind, shape, device)
    yield PROMPT, torch.randn(58, given, device=device)


def _block(block: str, kind: str, shape: Mapping[str, Any], device: str) -> Named:
    wide, heads = shape["vid_dim"], HEAD * shape["heads"]
    inner = 256 * -(-int(2 * wide * 4 / 3) // 256)
    matrices = {
        f"attn.proj_qkv.{kind}": (3 * heads, wide),
        f"attn.proj_out.{kind}": (wide, heads),
        f"mlp.{kind}.proj_in": (inner, wide),
        f"mlp.{kind}.proj_in_gate": (inner, wide),
        f"mlp.{kind}.proj_out": (wide, inner),
    }
    for name, of in matrices.items():
        yield f"{block}.{name}.weight", torch.randn(of, device=device) * of[1] ** -0.5
    yield f"{block}.attn.proj_out.{kind}.bias", torch.randn(wide, device=device) * 0.02
    for name in ("norm_q", "norm_k"):
        yield f"{block}.attn.{name}.{kind}.weight", 1 + torch.randn(HEAD, device=device) * 0.1
    for layer in ("attn", "mlp"):
        for part, base in (("shift", 0.0), ("scale", 1.0), ("gate", 1.0)):
            drawn = torch.randn(wide, device=device) * 0.02
            yield f"{block}.ada.{kind}.{layer}_{part}", base + drawn
