"""How something long is cut into pieces that overlap, and put together again. Pure."""

from collections.abc import Sequence
from math import ceil

import torch


def starts(total: int, size: int, share: int) -> list[int]:
    """Where pieces of ``size`` begin that cover ``total``, each two sharing at least ``share``: all
    of one size, evenly spread. One piece covers what is no longer than that."""
    if total <= size:
        return [0]
    count = ceil((total - share) / (size - share))
    return [round(index * (total - size) / (count - 1)) for index in range(count)]


def weights(begins: Sequence[int], size: int, total: int) -> list[torch.Tensor]:
    """What each piece counts at each of its places, float32 [size]: where two overlap, in a
    straight line from one to the other. Of all that cover a place they make 1."""
    size = min(size, total)
    found = []
    for index, begin in enumerate(begins):
        ramp = torch.ones(size)
        if index > 0 and (shared := begins[index - 1] + size - begin) > 0:
            ramp[:shared] = torch.arange(1, shared + 1) / (shared + 1)
        if index + 1 < len(begins) and (shared := begin + size - begins[index + 1]) > 0:
            ramp[size - shared :] *= 1 - torch.arange(1, shared + 1) / (shared + 1)
        found.append(ramp)
    whole = torch.zeros(total)
    for begin, ramp in zip(begins, found, strict=True):
        whole[begin : begin + size] += ramp
    return [ramp / whole[begin : begin + size] for begin, ramp in zip(begins, found, strict=True)]


def noise(seed: int, first: int, count: int, shape: tuple[int, ...]) -> torch.Tensor:
    """float32 [count, *shape], of the latent frames from ``first`` on: each has its own, whatever
    window it is in, and wherever it is computed."""
    made = []
    for index in range(first, first + count):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
        made.append(torch.randn(shape, generator=generator))
    return torch.stack(made)
