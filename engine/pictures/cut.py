"""How a picture meets a clip's size: which size follows its shape, and what of it is seen."""

from itertools import product
from math import log, sqrt

import numpy as np
from PIL import Image

from engine.presets import ModelPreset
from engine.request import GRID, Fit, Size
from engine.stages import Frames

Box = tuple[float, float, float, float]  # left, upper, right, lower
SHAPE_WEIGHT = 4.0  # so much more a wrong shape counts than pixels that aren't used


def size_for(width: int, height: int, preset: ModelPreset, pixels: int | None = None) -> Size:
    """The clip's size that shows most of a picture, of the model's usual length.

    Args:
        width, height: the picture's.
        pixels: at most so many a frame, where the model's least size has no more; its usual
            size's by default, so that what is open at that is open at this.
    """
    usual, limits = preset.default, preset.limits
    most, shape = pixels or usual.height * usual.width, width / height
    high = sqrt(most / shape)
    sides = [
        _near(side, bounds.min, bounds.max)
        for side, bounds in ((high, limits.height), (high * shape, limits.width))
    ]
    # A shape that the limits don't allow: as much of the other side as the pixels do.
    sides[1] += _near(most / min(sides[0]), limits.width.min, limits.width.max)
    sides[0] += _near(most / min(sides[1]), limits.height.min, limits.height.max)
    pairs = [(h, w) for h, w in product(*sides) if h * w <= most]
    if not pairs:
        pairs = [(min(sides[0]), min(sides[1]))]

    def loss(pair: tuple[int, int]) -> float:
        return SHAPE_WEIGHT * abs(log(pair[1] / pair[0] / shape)) + log(most / (pair[0] * pair[1]))

    return Size(*min(pairs, key=loss), usual.frames)


def _near(side: float, least: int, most: int) -> list[int]:
    """The sides of the grid on both sides of ``side`` that the model takes."""
    below = int(side // GRID) * GRID
    first, last = -(-least // GRID) * GRID, most // GRID * GRID
    return sorted({min(max(n, first), last) for n in (below, below + GRID)})


def crop_box(width: int, height: int, to_width: int, to_height: int) -> Box:
    """The middle of a picture, in its own pixels, that has the shape of the other size."""
    scale = min(width / to_width, height / to_height)
    wide, high = to_width * scale, to_height * scale
    left, upper = (width - wide) / 2, (height - high) / 2
    return left, upper, left + wide, upper + high


def cut(picture: Image.Image, height: int, width: int, fit: Fit) -> Frames:
    """``picture`` as the model gets it: uint8 [height, width, 3].

    "crop" fills the frame and cuts off what is over; "pad" shows all of it, between black bars.
    """
    lanczos = Image.Resampling.LANCZOS
    if fit == "crop":
        box = crop_box(*picture.size, width, height)
        return np.asarray(picture.resize((width, height), lanczos, box, reducing_gap=2.0))
    scale = min(width / picture.width, height / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    frame = Image.new("RGB", (width, height))
    small = picture.resize(size, lanczos, reducing_gap=2.0)
    frame.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(frame)
