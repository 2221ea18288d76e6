"""What can be chosen on the page, as the values of its radios and lists: model, size, length."""

from typing import Any

import gradio as gr

from engine.default_model import Candidate, candidates
from engine.engine import Engine
from engine.pipelines import is_here
from engine.presets import ModelPreset, Presets
from engine.request import Size, whole
from engine.text import Text
from ui.wording import say


def known_model(presets: Presets, name: object) -> str:
    """``name``, if it is a model's: a list of choices lets nothing and a list pass.

    Raises:
        gr.Error: it isn't.
    """
    if (preset := presets.maker(name)) is not None:
        return preset.id
    raise gr.Error(say(Text("generate.no_such_model")), print_exception=False)


def preset_of(presets: Presets, name: object) -> ModelPreset:
    """The model of this name; the default one for what no list of ours has sent."""
    return presets.maker(name) or presets.default


def model_choices(engine: Engine) -> list[tuple[str, str]]:
    """The models whose engine is here, and the default one even while it is on its way: what suits
    this machine best first, and last, with that said, what can't run on it."""
    default = engine.presets.default.id
    return [
        (_called(candidate), candidate.preset.id)
        for candidate in candidates(engine)
        if is_here(candidate.preset) or candidate.preset.id == default
    ]


def _called(candidate: Candidate) -> str:
    name = candidate.preset.name
    return say(Text("choices.cant_run", model=name)) if candidate.barred else name


def size_choices(presets: Presets, model: str, *also: object) -> dict[str, Any]:
    """Value and choices of the size radio: "height×width" behind "width × height".

    Args:
        also: values that have to be among them, because one is chosen or a picture has its shape.
    """
    default = presets.models[model].default
    sizes = [(s.height, s.width) for s in presets.sizes_for(model)]
    if (default.height, default.width) not in sizes:
        sizes.insert(0, (default.height, default.width))
    choices = [(f"{w} × {h}", f"{h}×{w}") for h, w in sizes]
    for value in also:
        if value and value not in [known for _, known in choices]:
            height, _, width = str(value).partition("×")
            choices.append((f"{width} × {height}", str(value)))
    return {"choices": choices, "value": f"{default.height}×{default.width}"}


def frame_choices(presets: Presets, model: str, also: object = None) -> dict[str, Any]:
    """Likewise for the length, in frames."""
    preset = presets.models[model]
    counts = {*presets.frames_for(model), *([int(str(also))] if also else [])}
    said = {n: Text("generate.length", seconds=preset.seconds(n)) for n in sorted(counts)}
    choices = [(say(length), n) for n, length in said.items()]
    return {"choices": choices, "value": preset.default.frames}


def as_size(size: object, frames: int) -> Size:
    height, _, width = str(size).partition("×")
    return Size(as_count(height), as_count(width), frames)


def as_count(value: object) -> int:
    """Raises gr.Error for what no radio of ours has sent."""
    count = whole(value)
    if count is None or not 0 < count < 10**5:
        raise gr.Error(say(Text("generate.no_such_size")), print_exception=False)
    return count
