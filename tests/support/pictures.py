"""Pictures for somebody to look at: HEADROOM_SCREENSHOTS=FOLDER keeps them."""

import os
from pathlib import Path
from typing import Any

from tests.support.browser import settled

KEPT = os.environ.get("HEADROOM_SCREENSHOTS")
# Those that people have. The last is the one that the clicks between are made at.
SIZES = [(390, 844), (1366, 640), (1920, 1080), (2560, 1440), (1366, 768)]


def keep(tab: Any, state: str, look: str) -> None:
    """The page as it is, if pictures are kept; ``look`` tells theme and language."""
    if not KEPT:
        return
    settled(tab)
    size = tab.viewport_size
    file = Path(KEPT) / f"{state}-{size['width']}x{size['height']}-{look}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=file)
