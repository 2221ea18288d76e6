"""Whether files fit: free bytes on the drive that they go to, and the length of their paths."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.units import size_text
from engine.weights.hub import WeightsError

SPARE = 2 * 10**9  # bytes that stay free: the system and the clips need room as well
WINDOWS_PATH = 259  # what PyTorch and safetensors can open there


def free_bytes(folder: Path) -> int:
    """On the drive of ``folder``, which needn't exist yet."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free


def refuse_too_full(folder: Path, needed: int, name: str) -> None:
    """Raises WeightsError where ``needed`` bytes and a spare don't fit on the drive."""
    free = free_bytes(folder)
    if needed and free < needed + SPARE:
        raise WeightsError(
            f"{name} needs {size_text(needed)} more and {size_text(SPARE)} to spare, and "
            f"{size_text(free)} are free on the drive of {folder}.",
            f"Make room for {size_text(needed + SPARE - free)}, or set HEADROOM_HOME to another "
            "drive.",
        )


def refuse_long_paths(files: Iterable[Path], system: str = sys.platform) -> None:
    """Raises WeightsError for a path that programs on Windows can't open."""
    longest = max((str(file) for file in files), key=len, default="")
    if system == "win32" and len(longest) > WINDOWS_PATH:
        raise WeightsError(
            f"The path {longest} has {len(longest)} characters, and programs on Windows can open "
            f"{WINDOWS_PATH}.",
            "Set HEADROOM_HOME to a folder with a shorter path, for example C:\\Headroom.",
        )
