"""What the form holds besides words, size and seed: pictures and LoRAs, as one value of the page.

``held`` is a JSON object, or "" where there is nothing: ``{"image": SHA-256, "last_image": SHA-256,
"fit": "crop" or "pad", "after": the SHA-256 of the clip that it goes on from, "adapters":
[{"sha256", "strength"}]}``, each only where it says something. It stands in the page, so it may be
anything.
"""

import json
from collections.abc import Mapping
from typing import Any

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library.intake import Picture
from engine.pictures.cut import size_for
from engine.presets import ModelPreset, Presets
from engine.request import ClipRequest, Size

FIELDS = ("image", "last_image", "fit", "after", "adapters")


def fields_of(held: object) -> dict[str, Any]:
    """The request's fields in ``held``; what no page of ours has sent is left out."""
    if not isinstance(held, str) or not held:
        return {}
    try:
        given = json.loads(held)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    return {name: given[name] for name in FIELDS if given.get(name)}


def held_as(fields: Mapping[str, Any]) -> str:
    """The way back from ``fields_of``."""
    kept = {name: fields[name] for name in FIELDS if fields.get(name)}
    if not kept.get("image"):
        kept.pop("after", None)
    if not kept.keys() & {"image", "last_image"}:
        kept.pop("fit", None)
    if not kept:
        return ""
    return json.dumps(kept, separators=(",", ":"))


def adapters_of(given: object) -> list[dict[str, Any]]:
    """A request's adapters from what a browser sent; what is none is left out."""
    found: list[dict[str, Any]] = []
    for one in given if isinstance(given, list) else ():
        strength = one.get("strength") if isinstance(one, dict) else None
        if isinstance(strength, bool) or not isinstance(strength, int | float):
            continue
        if isinstance(one.get("sha256"), str):
            found.append({"sha256": one["sha256"], "strength": float(strength)})
    return found


def held_of(request: ClipRequest) -> str:
    return held_as(request.to_json())


def picture_of(engine: Engine, held: object) -> Picture | None:
    """The first picture that is held, if it is still kept."""
    image = fields_of(held).get("image")
    try:
        return engine.intake.find(image) if isinstance(image, str) else None
    except HeadroomError:
        return None


def sizes_following(engine: Engine, preset: ModelPreset, held: object) -> list[Size]:
    """``sizes_for`` the picture that is held; none where there is none, or the model takes none."""
    picture = picture_of(engine, held) if preset.begins_with_picture else None
    return [] if picture is None else sizes_for(engine.presets, preset, picture)


def sizes_for(presets: Presets, preset: ModelPreset, picture: Picture) -> list[Size]:
    """The sizes that follow a picture's shape: one of as many pixels as the model's usual size, and
    one of as many as the largest on offer."""
    shape = picture.width, picture.height
    largest = max((s.height * s.width for s in presets.sizes_for(preset.id)), default=0)
    found = [size_for(*shape, preset), size_for(*shape, preset, largest or None)]
    return list(dict.fromkeys(found))


def counterpart(presets: Presets, preset: ModelPreset, begins: bool) -> ModelPreset:
    """The model that takes the place of ``preset`` once the form holds a picture, or none any
    more; itself where it suits that, or has none."""
    if preset.begins_with_picture == begins:
        return preset
    if begins:
        named = presets.models.get(preset.from_picture or "")
        return named or preset
    back = [one for one in presets.models.values() if one.from_picture == preset.id]
    back.sort(key=lambda one: (one.draft_of is not None, one.precision != preset.precision))
    return back[0] if back else preset
