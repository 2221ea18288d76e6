"""Clips of wan-tiny's world, whose frames in between are known."""

import numpy as np
import torch

from engine.pipelines.base import Frame
from engine.pipelines.wan_tiny.training.pictures import TESTED_SPREAD, ways
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import Paths, draw, draw_jitter
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject


def scene(shape: str, colour: str, motion: str, top: str, bottom: str) -> Scene:
    return Scene((Subject(shape, colour, "medium", motion),), (top, bottom))


MOVING = (
    scene("circle", "red", "left", "white", "blue"),
    scene("star", "yellow", "spin", "blue", "black"),
    scene("heart", "green", "bounce", "white", "white"),
    scene("square", "purple", "grow", "orange", "yellow"),
    scene("triangle", "orange", "up", "black", "blue"),
    scene("moon", "white", "shrink", "green", "blue"),
)


def clip(shown: Scene, frames: int, height: int = 96, width: int = 128) -> list[Frame]:
    """The scene from its beginning to its end, in so many frames."""
    return begun(shown, frames, frames, height, width)


def begun(shown: Scene, frames: int, of: int, height: int = 96, width: int = 128) -> list[Frame]:
    """So many frames of a clip that has ``of``."""
    slots = torch.tensor([slots_of(shown)])
    jitter = draw_jitter(1, torch.Generator().manual_seed(1))
    paths = ways(slots, jitter, of, TESTED_SPREAD)
    paths = Paths(*(way[..., :frames] for way in (paths.x, paths.y, paths.radius, paths.angle)))
    drawn = draw(slots, jitter, paths, height, width)
    pixels = ((drawn[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte()
    return list(pixels.numpy())


def psnr(one: Frame, other: Frame) -> float:
    """Decibels; 99 of equal frames."""
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)
