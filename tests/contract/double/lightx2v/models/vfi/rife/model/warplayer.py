"""As LightX2V's: a grid is kept for each size that was ever warped."""

from typing import Any

backwarp_tenGrid: dict[Any, Any] = {}
