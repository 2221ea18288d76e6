"""A clip's stages, the memories that can run out in one, and the frames that come of it."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Stage = Literal["load", "encode", "picture", "denoise", "decode", "smooth", "save"]
STAGES: tuple[Stage, ...] = get_args(Stage)
CHANGING: tuple[Stage, ...] = ("load", "smooth", "save")  # of a clip that is there
MAKING: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage != "smooth")
Memory = Literal["VRAM", "RAM", "commit"]  # "commit" is Windows' promise of RAM
Frames = NDArray[np.uint8]  # [frames, height, width, 3], RGB
