"""Whether the scene changes between two frames: then nothing is made between them.

Both are looked at as small pictures, block by block, as encoders do: what can be found in the
other picture, moved and in other light, belongs to the same scene.
"""

import numpy as np
from numpy.typing import NDArray

LONGER = 64  # pixels of the longer side of what is looked at
BLOCK = 8  # pixels of it
REACH = 12  # pixels that a block may have moved: 19 % of the longer side
SLACK = 0.3  # so far a block may differ from where it is found, in shares of the light's spread
LEAST_SLACK = 4.0  # of 255
# Of wan-tiny's scenes at most 0.45 is strange in a clip of 5 frames, and at least 0.55 at a cut.
STRANGE = 0.5
BRIGHTER = 6.0  # the most by which a flash multiplies contrast, or a fade divides it

Small = NDArray[np.float32]  # [3, height, width], 0 to 255


def look_at(frame: NDArray[np.uint8]) -> Small:
    """``frame``, uint8 [height, width, 3], as small as ``is_cut`` wants it."""
    height, width = frame.shape[:2]
    scale = max(height, width) / LONGER
    rows, columns = (max(1, min(side, round(side / scale))) for side in (height, width))
    down = np.linspace(0, height, rows + 1).astype(int)
    across = np.linspace(0, width, columns + 1).astype(int)
    sums = np.add.reduceat(frame, down[:-1], 0, dtype=np.float32)
    sums = np.add.reduceat(sums, across[:-1], 1)
    sizes = np.outer(np.diff(down), np.diff(across))[..., None]
    return np.ascontiguousarray(np.moveaxis(sums / sizes, -1, 0), np.float32)


def is_cut(before: Small, after: Small) -> bool:
    """Whether two pictures of the same size show two scenes.

    Neither things that move by less than a fifth of the picture make two of one, nor light that
    changes: what a flash has swallowed can still be found the other way round. Two scenes that
    share most of what can be seen, as a white background, count as one.
    """
    return _strange(before, after) > STRANGE and _strange(after, before) > STRANGE


def _strange(old: Small, new: Small) -> float:
    """The share of ``new`` that isn't anywhere near in ``old``."""
    slack = max(LEAST_SLACK, SLACK * float(new.mean(0).std()))
    strange = _differences(new - old) > slack
    for lit in (old, _lit_as(old, new)):
        if strange.mean() <= STRANGE:  # as of most pairs: little has moved
            break
        strange &= ~_found(lit, new, slack)
    return float(strange.mean())


def _found(old: Small, new: Small, slack: float) -> NDArray[np.bool_]:
    """Which blocks of ``new`` are in ``old``, moved or not."""
    height, width = new.shape[1:]
    padded = np.pad(old, ((0, 0), (REACH, REACH), (REACH, REACH)), "edge")
    found = _differences(new - old) <= slack
    for down in range(2 * REACH + 1):
        rows = padded[:, down : down + height]
        moved = np.lib.stride_tricks.sliding_window_view(rows, width, 2)  # [3, height, 25, width]
        found |= (_differences(new[:, :, None] - moved) <= slack).any(1)
    return found


def _lit_as(picture: Small, other: Small) -> Small:
    """``picture`` as bright as ``other`` and with its contrast, wherever things are in both."""
    gain = float(other.std()) / max(1.0, float(picture.std()))
    gain = min(max(gain, 1 / BRIGHTER), BRIGHTER)
    lit: Small = np.clip((picture - picture.mean()) * gain + other.mean(), 0, 255)
    return lit


def _differences(each: Small) -> Small:
    """The means of ``each``, [3, height, ..., width], without its signs, by block: [rows, ...,
    columns]. What is left over of a side belongs to its last block."""
    light = np.abs(each).sum(0)
    rows, columns = (
        [*range(0, max(1, side - BLOCK // 2), BLOCK), side]
        for side in (light.shape[0], light.shape[-1])
    )
    sums = np.add.reduceat(np.add.reduceat(light, rows[:-1], 0), columns[:-1], -1)
    sizes = 3 * np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    return np.asarray(sums / (sizes if light.ndim == 2 else sizes[:, None]), np.float32)
