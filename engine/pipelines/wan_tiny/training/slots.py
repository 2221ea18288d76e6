"""A scene as a fixed row of small numbers, the form in which the trainer moves scenes about."""

from engine.pipelines.wan_tiny.vocabulary import Scene
from engine.pipelines.wan_tiny.words import COLOURS, LAYOUTS, MOTIONS, SHAPES, SIZES

_SUBJECT = {
    "shape": ("none", *SHAPES),
    "colour": ("none", *COLOURS),
    "size": ("none", *SIZES),
    "motion": ("none", *MOTIONS),
}
SLOTS: dict[str, tuple[str, ...]] = {
    "layout": LAYOUTS,
    "top": tuple(COLOURS),
    "bottom": tuple(COLOURS),
    **{f"{part}1": values for part, values in _SUBJECT.items()},
    **{f"{part}2": values for part, values in _SUBJECT.items()},
}


def slots_of(scene: Scene) -> list[int]:
    """The scene as one class index per slot, in the order of SLOTS; 0 is "none" for a subject."""
    values = [scene.layout, *scene.background]
    for i in range(2):
        if i < len(scene.subjects):
            one = scene.subjects[i]
            values += [one.shape, one.colour, one.size, one.motion]
        else:
            values += ["none"] * 4
    return [SLOTS[slot].index(value) for slot, value in zip(SLOTS, values, strict=True)]
