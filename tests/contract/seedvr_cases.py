"""What must hold of SeedVR2: step and VAE are LightX2V's own, whatever the pieces.

With the real package alone: a double of its network would be one of ours.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.pipelines.base import Cancelled
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.seedvr import repairs
from engine.pipelines.seedvr.enlarger import SeedVr
from engine.pipelines.seedvr.network import PROMPT
from engine.stages import Frames, Stage
from tests.support.videos import moving

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
CPU = torch.device("cpu")


class Told:
    """What is told of a clip; ``ends``: it is cancelled at its so many-th look."""

    def __init__(self, ends: int | None = None) -> None:
        self.stages: list[tuple[str, int]] = []
        self.looks, self._ends = 0, ends
        self.shares: list[float] = []

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.stages.append((stage, steps))

    def advance(self, fraction: float, step: int = 0) -> None:
        self.shares.append(fraction)

    def check(self) -> None:
        self.looks += 1
        if self.looks == self._ends:
            raise Cancelled


def written(folder: Path) -> tuple[Path, Path]:
    """Random weights of a small network and of the true VAE, as the files are."""
    torch.manual_seed(5)
    transformer, vae = folder / "seedvr2_small.safetensors", folder / "seedvr2_vae.safetensors"
    if not transformer.exists():
        save_file(dict(_network()), transformer)
        package = importlib.import_module(repairs.VAE)
        whole = package.attn_video_vae_v3_s8_c16_t4_inflation_sd3_init()
        save_file({name: one.half() for name, one in whole.state_dict().items()}, vae)
    return transformer, vae


def _network() -> Iterator[tuple[str, torch.Tensor]]:
    """By the names of LightX2V's weights (networks/seedvr/weights)."""
    wide, given, deep = SMALL["vid_dim"], SMALL["txt_in_dim"], SMALL["num_layers"]
    inner = 256 * -(-int(2 * wide * 4 / 3) // 256)
    layers = {
        "vid_in.proj": (wide, 132),
        "txt_in": (wide, given),
        "emb_in.proj_in": (wide, 256),
        "emb_in.proj_hid": (wide, wide),
        "emb_in.proj_out": (6 * wide, wide),
        "vid_out.proj": (64, wide),
    }
    for name, shape in layers.items():
        yield f"{name}.weight", torch.randn(shape) * shape[1] ** -0.5
        yield f"{name}.bias", torch.randn(shape[0]) * 0.02
    yield "vid_out_norm.weight", torch.ones(wide)
    yield "vid_out_ada.out_shift", torch.randn(wide) * 0.02
    yield "vid_out_ada.out_scale", 1 + torch.randn(wide) * 0.02
    for index in range(deep):
        kinds = ("vid", "txt") if index < SMALL["mm_layers"] else ("all",)
        for kind in kinds:
            yield from _block(f"blocks.{index}", kind, wide, inner, last=index == deep - 1)
    yield PROMPT, torch.randn(58, given)


def _block(
    block: str, kind: str, wide: int, inner: int, last: bool
) -> Iterator[tuple[str, torch.Tensor]]:
    heads = 128 * SMALL["heads"]
    named = "vid" if last and kind == "txt" else kind
    matrices = {
        f"attn.proj_qkv.{kind}": (3 * heads, wide),
        f"attn.proj_out.{kind}": (wide, heads),
        f"mlp.{named}.proj_in": (inner, wide),
        f"mlp.{named}.proj_in_gate": (inner, wide),
        f"mlp.{named}.proj_out": (wide, inner),
    }
    for name, shape in matrices.items():
        yield f"{block}.{name}.weight", torch.randn(shape) * shape[1] ** -0.5
    yield f"{block}.attn.proj_out.{kind}.bias", torch.randn(wide) * 0.02
    for name in ("norm_q", "norm_k"):
        yield f"{block}.attn.{name}.{kind}.weight", 1 + torch.randn(128) * 0.1
    for layer in ("attn", "mlp"):
        for part, base in (("shift", 0.0), ("scale", 1.0), ("gate", 1.0)):
            yield f"{block}.ada.{kind}.{layer}_{part}", base + torch.randn(wide) * 0.02


def enlarges(folder: Path) -> dict[str, Any]:
    import_lightx2v()
    transformer, vae = written(folder)
    seedvr = SeedVr(transformer, vae, CPU, "resident", shape=SMALL)
    clip = moving(6, 32, 48)
    told = Told()
    made = _made(seedvr, clip, told)
    return {"shape": made.shape, "stages": told.stages, "looks": told.looks}


def _made(seedvr: SeedVr, clip: Frames, told: Told, seed: int = 3) -> Frames:
    return np.stack([*seedvr.enlarge(clip, len(clip), 64, 90, seed, told)])


CASES: tuple[Callable[[Path], dict[str, Any]], ...] = (enlarges,)
