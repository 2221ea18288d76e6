"""Tiny real MP4s with receipts, for whoever tests what is done with them."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from engine.library.mp4 import write_clip


def receipt(prompt: str = "a red ball", seed: int = 7, **request: object) -> dict[str, Any]:
    """A receipt as the worker writes it; ``request`` overrides what was asked for."""
    asked = {
        "prompt": prompt,
        "height": 32,
        "width": 48,
        "frames": 5,
        "seed": seed,
        "model": "scripted",
        **request,
    }
    return {
        "request": asked,
        "seed": seed,
        "model": asked["model"],
        "label": "A label",
        "device": "a processor",
        "plan": {"threads": {"value": 2, "reason": "That many cores."}},
        "versions": {"headroom": "0.1.0"},
        "stages": {"load": 0.5, "encode": 0.1, "denoise": 1.5, "decode": 0.2, "save": 0.1},
        "peaks": {"encode": 1000, "denoise": 2000, "decode": 3000},
        "frames_sha256": "0" * 64,
    }


def write(path: Path, kept: dict[str, Any] | None, side: int = 16, frames: int = 3) -> Path:
    """A clip of a moving gradient at ``path``; without a receipt for None."""
    ramp = np.arange(side * side * 3 * frames, dtype=np.uint32) * 7 % 256
    pictures = ramp.astype(np.uint8).reshape(frames, side, side, 3)
    write_clip(path, pictures, 8, None if kept is None else lambda: kept)
    return path


def by_hand(clips: Path, *prompts: str) -> None:
    """A folder of clips that came by hand some time ago, and ``holiday.mp4``, which isn't ours."""
    clips.mkdir(parents=True)
    # Files that came this moment would be looked at later.
    for number, prompt in enumerate(prompts):
        path = write(clips / f"{number}.mp4", receipt(prompt, seed=100 + number), frames=5)
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    os.utime(write(clips / "holiday.mp4", None), (1_700_000_000, 1_700_000_000))
