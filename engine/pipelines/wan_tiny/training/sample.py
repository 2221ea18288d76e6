"""Samples many clips at once without the pipeline: for checks while training, and for teachers."""

import itertools
from typing import Any

import torch

from engine.pipelines.wan_tiny.codec import decode_all, denormalise
from engine.pipelines.wan_tiny.training.bank import Shape


def noise_for(count: int, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    """Starting noise [count, 16, f, h, w] for clips of this shape."""
    height, width, frames = shape
    size = (count, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
    return torch.randn(size, generator=generator, device=generator.device)


def velocity(
    transformer: Any, latents: torch.Tensor, sigma: torch.Tensor, embeddings: torch.Tensor
) -> torch.Tensor:
    """The predicted noise minus clean latents, float32. sigma: [B] in [0, 1]."""
    cuda = latents.is_cuda
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=cuda):
        out = transformer(latents, sigma * 1000.0, embeddings, return_dict=False)[0]
    return torch.as_tensor(out.float())


@torch.no_grad()
def sample(
    transformer: Any,
    noise: torch.Tensor,
    embeddings: torch.Tensor,
    sigmas: list[float],
    *,
    guidance: float = 1.0,
    empty: torch.Tensor | None = None,
    given: torch.Tensor | None = None,
) -> torch.Tensor:
    """Euler steps along sigmas (from 1 down to 0). empty: the empty prompt, for guidance.

    given: [N, 20, f, h, w], the pictures' conditioning, seen beside the noise.
    """
    latents = noise
    for sigma, after in itertools.pairwise(sigmas):
        level = torch.full((len(latents),), sigma, device=latents.device)
        seen = latents if given is None else torch.cat([latents, given], dim=1)
        flow = velocity(transformer, seen, level, embeddings)
        if guidance != 1.0 and empty is not None:
            none = velocity(transformer, seen, level, empty.expand_as(embeddings))
            flow = none + guidance * (flow - none)
        latents = latents + (after - sigma) * flow
    return latents


@torch.no_grad()
def decode(vae: Any, latents: torch.Tensor, chunk: int = 64) -> torch.Tensor:
    """Normalised latents -> clips [B, 3, F, H, W] in [-1, 1]."""
    clips = [
        decode_all(vae, denormalise(vae, part.float())).clamp(-1, 1)
        for part in torch.split(latents, chunk)
    ]
    return torch.cat(clips)
