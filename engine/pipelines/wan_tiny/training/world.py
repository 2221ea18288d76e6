"""Draws the world: batches of scenes to anti-aliased clips, on any device, in a few large steps.

A clip's time runs from 0 to 1 whatever its number of frames, so that short clips read as well as
long ones. Where things are follows from the prompt up to a small shift that the seed decides.
"""

import math
from dataclasses import dataclass

import torch

from engine.pipelines.wan_tiny.training.shapes import distance
from engine.pipelines.wan_tiny.words import COLOURS, DIRECTIONS, MOTIONS, RGB

TRAVEL = 0.23  # half of a straight way, as a share of the frame's width or height
LANES = (0.28, 0.72)  # where the two subjects of a pair run
BOUNCE = 0.36
GROWTH = (0.65, 1.35)
RADIUS = ((0.0, 0.15, 0.2, 0.25), (0.0, 0.125, 0.15, 0.17))  # alone and in a pair, by size
_STRAIGHT = len(DIRECTIONS)
_BOUNCE, _GROW, _SHRINK, _SPIN = (MOTIONS.index(m) for m in ("bounce", "grow", "shrink", "spin"))


@dataclass(frozen=True)
class Paths:
    """Where subjects are: each [B, 2, F], in shares of the frame (radius: of its shorter side)."""

    x: torch.Tensor
    y: torch.Tensor
    radius: torch.Tensor
    angle: torch.Tensor


def draw_jitter(count: int, generator: torch.Generator) -> torch.Tensor:
    """[count, 2, 7] numbers in [-1, 1]: what the seed decides about each subject."""
    return torch.rand(count, 2, 7, generator=generator, device=generator.device) * 2 - 1


def paths(slots: torch.Tensor, jitter: torch.Tensor, frames: int) -> Paths:
    """The subjects' ways. slots: [B, 11] as slots_of gives them; jitter: [B, 2, 7]."""
    device = slots.device
    layout = slots[:, 0, None]
    motion = (slots[:, (6, 10)] - 1).clamp(min=0)
    pair = (layout > 0).long()
    time = torch.linspace(0, 1, frames, device=device) if frames > 1 else torch.full((1,), 0.5)
    time = time.to(device)[None, None]
    steps = torch.tensor([*DIRECTIONS.values(), *[(0, 0)] * (len(MOTIONS) - _STRAIGHT)])
    step = steps.to(device, torch.float32)[motion]
    lane = torch.tensor(LANES, device=device)[None]
    # Free room across the way: much for one subject, little inside a pair's lane.
    room = torch.where(pair > 0, 0.035, 0.1)
    room_x = torch.where(step[..., 0] != 0, 0.03, room)
    room_y = torch.where(step[..., 1] != 0, 0.03, room)
    centre_x = torch.where(layout == 2, lane, 0.5) + jitter[..., 0] * room_x
    centre_y = torch.where(layout == 1, lane, 0.5) + jitter[..., 1] * room_y
    travel = TRAVEL * (1 + 0.1 * jitter[..., 2])
    way = 2 * time - 1
    x = centre_x[..., None] + (travel * step[..., 0])[..., None] * way
    y = centre_y[..., None] + (travel * step[..., 1])[..., None] * way
    hop = BOUNCE * (0.5 - torch.sin(2 * math.pi * time).abs())
    y = torch.where((motion == _BOUNCE)[..., None], y + hop, y)
    low, high = GROWTH
    grown = low * (high / low) ** time
    shrunk = low * (high / low) ** (1 - time)
    scale = torch.where((motion == _GROW)[..., None], grown, 1.0)
    scale = torch.where((motion == _SHRINK)[..., None], shrunk, scale)
    sizes = torch.tensor(RADIUS, device=device)
    radius = sizes[pair, slots[:, (5, 9)]] * (1 + 0.07 * jitter[..., 3])
    angle = 0.12 * jitter[..., 4, None] + torch.where(
        (motion == _SPIN)[..., None], math.pi * time, 0.0
    )
    return Paths(x, y, radius[..., None] * scale, angle)


def render(
    slots: torch.Tensor, jitter: torch.Tensor, frames: int, height: int, width: int
) -> torch.Tensor:
    """Clips [B, 3, frames, height, width] in [-1, 1] of the scenes in slots [B, 11]."""
    return draw(slots, jitter, paths(slots, jitter, frames), height, width)


def tints(slots: torch.Tensor) -> torch.Tensor:
    """The scenes' colours, RGB from 0 to 1: [B, 4, 3], top, bottom and the two subjects."""
    palette = torch.tensor([RGB[c] for c in COLOURS], device=slots.device) / 255
    columns = (slots[:, 1], slots[:, 2], slots[:, 4] - 1, slots[:, 8] - 1)
    return palette[torch.stack(columns, dim=1).clamp(min=0)]


def draw(
    slots: torch.Tensor,
    jitter: torch.Tensor,
    way: Paths,
    height: int,
    width: int,
    colours: torch.Tensor | None = None,
    texture: torch.Tensor | None = None,
) -> torch.Tensor:
    """As render, with the subjects' ways given.

    colours: instead of tints(slots). texture: [B, 3, height, width], added to the background.
    """
    device = slots.device
    tones = (tints(slots) if colours is None else colours)[..., None, None, None]
    rows = ((torch.arange(height, device=device) + 0.5) / height)[:, None]
    columns = ((torch.arange(width, device=device) + 0.5) / width)[None]
    shade = 1 + 0.04 * jitter[:, 0, 6, None, None, None, None]
    top, bottom = tones[:, 0], tones[:, 1]
    clip = (top + (bottom - top) * rows) * shade
    if texture is not None:
        clip = clip + texture[:, :, None]
    clip = clip.expand(-1, -1, way.x.shape[-1], -1, width)
    side = min(height, width)
    for i in range(2):
        present = (slots[:, 3 + 4 * i] > 0)[:, None, None, None]
        shape = slots[:, 3 + 4 * i] - 1
        radius = way.radius[:, i, :, None, None].clamp(min=1e-3)
        x = (columns - way.x[:, i, :, None, None]) * (width / side) / radius
        y = (rows - way.y[:, i, :, None, None]) * (height / side) / radius
        turn = way.angle[:, i, :, None, None]
        cos, sin = torch.cos(turn), torch.sin(turn)
        away = distance(shape, x * cos + y * sin, y * cos - x * sin)
        cover = (0.5 - away * radius * side).clamp(0, 1) * present
        light = 1 - 0.1 * ((x + y) / 1.5).clamp(-1, 1)
        tone = (1 + 0.05 * jitter[:, i, 5, None, None, None]) * light
        clip = clip + (tones[:, 2 + i] * tone[:, None] - clip) * cover[:, None]
    return (clip * 2 - 1).clamp(-1, 1)
