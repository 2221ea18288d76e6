"""Whether a clip's end leads to its beginning: then the frames behind the last lead there, too."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from engine.pipelines.base import Frame
from engine.pipelines.smooth.cuts import Small, is_cut, look_at

LONGEST = 300  # frames: what is meant to go round is short, and nothing longer is looked through
NEAR, FAR = 0.25, 1.5  # times as far as from one frame to the next


def is_loop(frames: Iterable[Frame]) -> bool:
    """Whether the first of ``frames`` follows the last of them as others follow each other. Where
    it is the same picture once more, nothing is to be made between the two."""
    first: list[Small] = []
    last: deque[Small] = deque(maxlen=2)
    for frame in frames:
        look = look_at(frame)
        if len(first) < 2:
            first.append(look)
        last.append(look)
    if len(first) < 2:
        return False
    (begins, goes_on), (nearly, ends) = first, last
    step = max(_apart(begins, goes_on), _apart(nearly, ends))
    return NEAR * step < _apart(ends, begins) <= FAR * step and not is_cut(ends, begins)


def _apart(one: Small, other: Small) -> float:
    return float(np.abs(one - other).mean())
