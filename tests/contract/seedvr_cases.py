"""What must hold of SeedVR2: step and VAE are LightX2V's own, whatever the pieces.

With the real package alone: a double of its network would be one of ours.
"""

import importlib
import logging
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.pipelines.base import Cancelled
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.seedvr import repairs
from engine.pipelines.seedvr.enlarger import SeedVr
from engine.pipelines.seedvr.files import Weights
from engine.pipelines.seedvr.vae import Vae
from engine.stages import Frames, Stage
from tests.contract.bench import raised
from tests.contract.seedvr_weights import SMALL, network
from tests.support.videos import moving

CPU = torch.device("cpu")


class Told:
    """What is told of a clip; ``ends``: it is cancelled at its so many-th look."""

    def __init__(self, ends: int | None = None) -> None:
        self.stages: list[tuple[str, int]] = []
        self.looks, self._ends = 0, ends
        self.shares: list[float] = []
        self.parts: list[tuple[float, float]] = []

    def part(self, begin: float, share: float) -> None:
        self.parts.append((begin, share))

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
    """A clip of an odd number of frames and an odd size; cancelled anywhere, and made again."""
    seedvr = opened(folder)
    clip, told = moving(7, 32, 48), Told()
    made = _made(seedvr, clip, told)
    ended = []
    for look in range(1, told.looks + 1):
        ended.append(raised(partial(_made, seedvr, clip, Told(look))).partition(":")[0])
    again = _made(seedvr, clip, Told())
    return {
        "shape": made.shape,
        "stages": told.stages,
        "looks": told.looks,
        "ended": sorted(set(ended)),
        "same": bool(np.array_equal(made, again)),
        "other_seed": bool(np.array_equal(made, _made(seedvr, clip, Told(), seed=4))),
    }


def pieces(folder: Path) -> dict[str, Any]:
    """The VAE in pieces and in tiles, beside LightX2V's own of the whole."""
    seedvr = opened(folder)
    vae = seedvr._vae
    clip = torch.from_numpy(moving(13, 64, 96)).permute(3, 0, 1, 2).float() / 127.5 - 1
    taken: Any = lambda begin, end: clip[:, begin:end]  # noqa: E731
    looks: list[float] = []
    ours = vae.encode(taken, (13, 64, 96), looks.append)
    with torch.inference_mode():
        theirs = vae._vae.slicing_encode(clip[None].bfloat16())[0, :16].float() * 0.9152
        vae.close()
        back = vae.decode(ours, looks.append)
        pictures = vae._vae.slicing_decode((ours / 0.9152).bfloat16()[None])[0].half()
    vae.close()
    tiled = Vae(written(folder)[1], CPU, 8)
    parts = tiled.decode(tiled.encode(taken, (13, 64, 96), looks.append), looks.append)
    caches = [one.memory for one in vae._vae.modules() if hasattr(one, "memory")]
    return {
        "encoded": bool(torch.equal(ours, theirs)),
        "decoded": bool(torch.equal(back, pictures)),
        "tiles": parts.shape,
        "finite": bool(torch.isfinite(parts).all()),
        "looks": [min(looks), max(looks)],
        "left": sum(one is not None for one in caches),
    }


def step(folder: Path) -> dict[str, Any]:
    """What was mended of the network, beside what it was."""
    seedvr = opened(folder)
    block = importlib.import_module(f"{repairs.NETWORK}.infer.transformer_infer")
    utils = importlib.import_module(f"{repairs.NETWORK}.infer.utils")
    cache = importlib.import_module(f"{repairs.NETWORK}.utils.cache").Cache(disable=False)
    torch.manual_seed(1)
    hid, emb = torch.randn(30, 256), torch.randn(1, 6 * 256)
    shift, scale, gate = (torch.randn(256) for _ in range(3))
    same = []
    for layer, mode in ((0, "in"), (0, "out"), (1, "in"), (1, "out")):
        given = (emb, layer, 2, mode, cache, torch.tensor([30]), "vid", shift, scale, gate)
        theirs = utils.apply_adaln_single(hid.clone(), *given)
        same.append(bool(torch.equal(block.apply_adaln_single(hid.clone(), *given), theirs)))
    noise, latents = torch.randn(16, 5, 8, 12), torch.randn(16, 5, 8, 12)
    looks: list[None] = []
    made = seedvr._network.step(noise, latents, lambda: looks.append(None))
    again = seedvr._network.step(noise, latents, lambda: None)
    rounded = seedvr._network.step(noise.bfloat16().float(), latents, lambda: None)
    other = seedvr._network.step(noise, latents + 0.1, lambda: None)
    attention: Any = importlib.import_module(f"{repairs.NETWORK}.utils.attention")
    grouped, attention.flash_attn_varlen_func = attention.flash_attn_varlen_func, _one_by_one
    alone = seedvr._network.step(noise, latents, lambda: None)
    attention.flash_attn_varlen_func = grouped
    return {
        "modulated": same,
        "blocks": len(looks),
        "finite": bool(torch.isfinite(made).all()),
        "same": bool(torch.equal(made, again)),
        "of_what_it_saw": bool(torch.equal(made, rounded)),
        "listens": not torch.equal(made, other),
        "grouped": torch.nn.functional.cosine_similarity(
            (made - noise).flatten(), (alone - noise).flatten(), dim=0
        ).item(),
        "handlers": len([h for n in ("", repairs.VAE) for h in logging.getLogger(n).handlers]),
    }


def _one_by_one(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_seqlens_q: torch.Tensor, **_: Any
) -> torch.Tensor:
    out = torch.empty_like(q)
    for begin, end in pairwise(cu_seqlens_q.tolist()):
        heads = [one[begin:end].transpose(0, 1)[None] for one in (q, k, v)]
        made = torch.nn.functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        out[begin:end] = made[0].transpose(0, 1)
    return out


def other_files(folder: Path) -> dict[str, Any]:
    """What isn't the 3B, or lacks something."""
    transformer, vae = written(folder)
    short = folder / "short.safetensors"
    whole = dict(Weights(vae, torch.float16, CPU))
    save_file({name: one for name, one in whole.items() if "conv_in" not in name}, short)
    return {
        "small": raised(lambda: SeedVr(transformer, vae, CPU, "resident")),
        "swapped": raised(lambda: SeedVr(vae, vae, CPU, "resident")),
        "lacks": raised(lambda: Vae(short, CPU)),
    }


def opened(folder: Path) -> SeedVr:
    import_lightx2v()
    transformer, vae = written(folder)
    return SeedVr(transformer, vae, CPU, "resident", shape=SMALL)


def _made(seedvr: SeedVr, clip: Frames, told: Told, seed: int = 3) -> Frames:
    return np.stack([*seedvr.enlarge(clip, len(clip), 64, 90, seed, told)])


CASES: tuple[Callable[[Path], dict[str, Any]], ...] = (enlarges, pieces, step, other_files)
