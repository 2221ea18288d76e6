"""The world of clips that begin with a picture: as world.py's, from wherever things are in it.

In world.py a thing that moves left begins on the right: of a picture that would give the motion
away, and pictures that people have, the last frame of an earlier clip among them, begin anywhere.
What happens then follows from picture and prompt alone.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from engine.pipelines.wan_tiny.training.world import (
    BOUNCE,
    GROWTH,
    LANES,
    RADIUS,
    Paths,
    draw,
    draw_jitter,
    tints,
)
from engine.pipelines.wan_tiny.words import DIRECTIONS, MOTIONS

Shape = tuple[int, int, int]  # height, width, frames
SPREAD = 0.25  # how far from the middle of the frame things begin in training
TESTED_SPREAD = 0.16  # and in what is judged: so far, a way to the edge can still be seen
WAY = (0.36, 0.46)  # a straight way's least and most, in shares of the frame
EDGE = 0.12  # where a way ends, if it can
ROUGH = 0.3  # share of the pictures that are blurred, blocky or noisy
STRANGE = 0.25  # share of scenes in colours of no name; half as many have a mottled background
ENDS = 0.25  # share of clips whose last frame is given as well
_STRAIGHT = len(DIRECTIONS)
_BOUNCE, _GROW, _SHRINK, _SPIN = (MOTIONS.index(m) for m in ("bounce", "grow", "shrink", "spin"))


@dataclass(frozen=True)
class Beginning:
    """Clips [B, 3, F, H, W] in [-1, 1], and for which of them [B] the last frame is given too."""

    clips: torch.Tensor
    ends: torch.Tensor


def ways(
    slots: torch.Tensor,
    jitter: torch.Tensor,
    frames: int,
    spread: float = SPREAD,
    reach: torch.Tensor | None = None,
) -> Paths:
    """The subjects' ways from where the jitter [B, 2, 7] puts them. slots: [B, 11].

    reach: [B], how much of its way a thing goes; a last picture decides that.
    """
    device = slots.device
    layout, motion = slots[:, 0, None], (slots[:, (6, 10)] - 1).clamp(min=0)
    time = torch.linspace(0, 1, frames, device=device)[None, None]
    goes = (torch.ones(len(slots), device=device) if reach is None else reach)[:, None, None]
    lane = torch.tensor(LANES, device=device)[None]
    x, y = (
        torch.where(layout == beside, lane + 0.05 * jitter[..., i], 0.5 + spread * jitter[..., i])
        for i, beside in ((0, 2), (1, 1))
    )
    steps = torch.tensor([*DIRECTIONS.values(), *[(0, 0)] * (len(MOTIONS) - _STRAIGHT)])
    step = steps.to(device, torch.float32)[motion]
    across, down = (
        (way * torch.where(way < 0, at, 1 - at).sub(EDGE).clamp(*WAY))[..., None] * time * goes
        for way, at in ((step[..., 0], x), (step[..., 1], y))
    )
    hop = (y - EDGE).clamp(0.22, BOUNCE)[..., None] * torch.sin(2 * math.pi * time).abs()
    down = torch.where((motion == _BOUNCE)[..., None], -hop, down)
    radius, growth = _sizes(slots, jitter, motion)
    # Most things stand upright; some are turned, as a thing that spun is in the end.
    turned = (jitter[..., 2] > 0.5).float()
    angle = jitter[..., 4] * (0.12 + (math.pi - 0.12) * turned)
    spins = (motion == _SPIN).float()[..., None] * math.pi * time * goes
    return Paths(
        x[..., None] + across,
        y[..., None] + down,
        radius[..., None] * growth[..., None] ** (time * goes),
        angle[..., None] + spins,
    )


def _sizes(
    slots: torch.Tensor, jitter: torch.Tensor, motion: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each thing's radius at first, and by how much it is multiplied in the end: [B, 2] each."""
    pair = (slots[:, 0, None] > 0).long()
    sizes = torch.tensor(RADIUS, device=slots.device)
    low, high = GROWTH
    share = (jitter[..., 3] + 1) / 2
    begins = 0.85 + 0.3 * share
    begins = torch.where(motion == _GROW, low + (1 - low) * share, begins)
    begins = torch.where(motion == _SHRINK, 1 + (high - 1) * share, begins)
    radius = sizes[pair, slots[:, (5, 9)]] * begins
    # Neither larger than the frame, nor too small to be seen.
    safe = radius.clamp(min=1e-3)
    grown = (torch.where(pair > 0, 0.3, 0.42) / safe).clamp(1.5, high / low)
    shrunk = (0.07 / safe).clamp(low / high, 1 / 1.5)
    growth = torch.where(motion == _GROW, grown, 1.0)
    return radius, torch.where(motion == _SHRINK, shrunk, growth)


def clean(slots: torch.Tensor, jitter: torch.Tensor, shape: Shape, spread: float) -> torch.Tensor:
    """Clips [B, 3, F, H, W] of the scenes as they are, for judging."""
    height, width, frames = shape
    return draw(slots, jitter, ways(slots, jitter, frames, spread), height, width)


def begin(slots: torch.Tensor, shape: Shape, generator: torch.Generator) -> Beginning:
    """Training clips of the scenes in slots [B, 11], as people's pictures have them."""
    height, width, frames = shape
    count, device = len(slots), slots.device

    def chance(share: float) -> torch.Tensor:
        return torch.rand(count, generator=generator, device=device) < share

    jitter = draw_jitter(count, generator)
    ends = chance(ENDS) & (frames > 1)
    reach = torch.rand(count, generator=generator, device=device) * 0.8 + 0.5
    way = ways(slots, jitter, frames, reach=torch.where(ends, reach, 1.0))
    strange = torch.rand(count, 4, 3, generator=generator, device=device)
    strange[:, 1] = torch.where(chance(0.5)[:, None], strange[:, 0], strange[:, 1])
    colours = torch.where(chance(STRANGE)[:, None, None], strange, tints(slots))
    mottle = torch.randn(count, 3, 4, 4, generator=generator, device=device) * 0.12
    mottle = mottle * chance(STRANGE / 2)[:, None, None, None]
    texture = functional.interpolate(mottle, (height, width), mode="bicubic")
    clips = draw(slots, jitter, way, height, width, colours, texture)
    clips = torch.where(chance(ROUGH / 2)[:, None, None, None, None], blurred(clips), clips)
    # Only what is given is rough; what follows is as clean as ever.
    spoilt = chance(ROUGH)
    for at in (0, frames - 1):
        given = clips[:, :, at]
        noise = torch.randn(given.shape, generator=generator, device=device)
        rough = blocky(given + 0.02 * noise, 0.2).clamp(-1, 1)
        here = spoilt & ends if at else spoilt
        clips[:, :, at] = torch.where(here[:, None, None, None], rough, given)
    return Beginning(clips, ends)


def blurred(clips: torch.Tensor) -> torch.Tensor:
    """Clips [B, 3, F, H, W] as if enlarged from seven tenths of their size."""
    flat = clips.transpose(1, 2).flatten(0, 1)
    height, width = flat.shape[2:]
    small = functional.interpolate(flat, (height * 7 // 10, width * 7 // 10), mode="area")
    large = functional.interpolate(small, (height, width), mode="bilinear")
    return torch.as_tensor(large.unflatten(0, (len(clips), -1)).transpose(1, 2))


def blocky(pictures: torch.Tensor, step: float) -> torch.Tensor:
    """[B, 3, H, W] after JPEG's rounding: of 8x8 blocks' waves, coarser the finer they are."""
    count, channels, height, width = pictures.shape
    n = torch.arange(8, device=pictures.device, dtype=torch.float32)
    waves = torch.cos((2 * n[None] + 1) * n[:, None] * math.pi / 16) / 2
    waves[0] /= math.sqrt(2)
    blocks = pictures.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    rough = step * (1 + (n[:, None] + n[None]) / 3)
    found = torch.round(waves @ blocks @ waves.T / rough) * rough
    return (waves.T @ found @ waves).transpose(3, 4).reshape(pictures.shape)
