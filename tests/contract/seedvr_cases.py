"""What must hold of SeedVR2: step and VAE are LightX2V's own, whatever the pieces.

With the real package alone: a double of its network would be one of ours.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.pipelines.base import Cancelled
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.seedvr import repairs
from engine.pipelines.seedvr.enlarger import SeedVr
from engine.stages import Frames, Stage
from tests.contract.seedvr_weights import SMALL, network
from tests.support.videos import moving

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
        save_file(dict(network(SMALL)), transformer)
        package = importlib.import_module(repairs.VAE)
        whole = package.attn_video_vae_v3_s8_c16_t4_inflation_sd3_init()
        save_file({name: one.half() for name, one in whole.state_dict().items()}, vae)
    return transformer, vae


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
