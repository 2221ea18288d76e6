"""Whether files fit: free bytes on the drive that they go to, and the length of their paths."""

import sys
from collections.abc import Iterable
from pathlib import Path

from engine.home import free_bytes
from engine.text import FileSize, Text
from engine.weights.hub import WeightsError

SPARE = 2 * 10**9  # bytes that stay free: the system and the clips need room as well
WINDOWS_PATH = 259  # what PyTorch and safetensors can open there


def refuse_too_full(folder: Path, needed: int, name: str) -> None:
    """Raises WeightsError where ``needed`` bytes and a spare don't fit on the drive."""
    free = free_bytes(folder)
    if needed and free < needed + SPARE:
        raise WeightsError(
            Text(
                "weights.too_full",
                model=name,
                needed=FileSize(needed),
                spare=FileSize(SPARE),
                free=FileSize(free),
                folder=folder,
            ),
            Text("weights.make_room_for", size=FileSize(needed + SPARE - free)),
        )


def refuse_long_paths(files: Iterable[Path], system: str = sys.platform) -> None:
    """Raises WeightsError for a path that programs on Windows can't open."""
    longest = max((str(file) for file in files), key=len, default="")
    if system == "win32" and len(longest) > WINDOWS_PATH:
        raise WeightsError(
            Text("weights.path_too_long", path=longest, length=len(longest), longest=WINDOWS_PATH),
            Text("weights.shorten_home"),
        )
