"""A clip's stages, the memories that can run out in one, and the frames that come of it."""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Stage = Literal["load", "encode", "picture", "denoise", "decode", "smooth", "enlarge", "save"]
STAGES: tuple[Stage, ...] = get_args(Stage)
CHANGES: tuple[Stage, ...] = ("smooth", "enlarge")  # of a clip that is there
MAKING: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage not in CHANGES)
Memory = Literal["VRAM", "RAM", "commit"]  # "commit" is Windows' promise of RAM
Frames = NDArray[np.uint8]  # [frames, height, width, 3], RGB


def way_of(stages: Iterable[str]) -> tuple[Stage, ...]:
    """All stages of a run that has some of ``stages``, in order."""
    some = set(stages)
    changes = [stage for stage in CHANGES if stage in some]
    return ("load", changes[0], "save") if changes else MAKING
