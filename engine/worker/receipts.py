"""Writes a clip's receipt: what was asked for, and what the worker knows of how it was made."""

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

from engine.adapters.store import Adapters
from engine.errors import HeadroomError
from engine.home import Home
from engine.request import ClipRequest
from engine.stages import Frames, Stage
from engine.worker.messages import Generate

MEASURED: tuple[Stage, ...] = ("encode", "picture", "denoise", "decode")  # whose peaks people read


def receipt_of(
    order: Generate,
    frames: Frames,
    facts: Mapping[str, Any],
    loading: float,
    seconds: Mapping[str, float],
    peaks: Mapping[str, int],
) -> dict[str, Any]:
    """The same for file and database.

    Args:
        facts: what every receipt says of what is loaded.
        loading: seconds of the load that this clip waited for; a change of LoRAs comes on top.
        seconds, peaks: by stage.
    """
    load = round(loading + seconds.get("load", 0.0), 4)
    return {
        "request": order.request.to_json(),
        "seed": order.seed,
        **facts,
        **({"machine": order.machine} if order.machine else {}),
        **_named(order.request),
        "stages": {"load": 0.0} | {**seconds, "load": load},
        "peaks": {name: peaks[name] for name in MEASURED if name in peaks},
        # Of the frames before encoding: two runs are the same clip exactly when these agree.
        "frames_sha256": hashlib.sha256(frames.tobytes()).hexdigest(),
    }


def _named(request: ClipRequest) -> dict[str, Any]:
    """What the LoRAs of ``request`` were called when it was made; nothing where it has none."""
    if not request.adapters:
        return {}
    names: dict[str, str] = {}
    with contextlib.suppress(HeadroomError):  # somebody has just removed one
        store = Adapters(Home.find())
        names = {file.sha256: file.name for file in store.files(request.adapters)}
    told = [
        {"sha256": one.sha256, "name": names.get(one.sha256, ""), "strength": one.strength}
        for one in request.adapters
    ]
    return {"adapters": told}
