"""A picture comes into the form, or goes: the model follows, and the size follows the picture."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.library.library import Clip
from engine.request import SHA256
from engine.text import NOTHING, Text
from ui.tabs.choices import known_model, model_choices
from ui.tabs.generate import Controls, Foot, asked_by, judged
from ui.tabs.held import counterpart, fields_of, held_as
from ui.tabs.pictures import said_html
from ui.wiring import QUIET, Chosen

SLOTS = ("image", "last_image")


def wire(
    engine: Engine, controls: Controls, foot: Foot, more: Sequence[Any], tabs: gr.Tabs
) -> None:
    """Connect the places for pictures with the form, which is shown then."""
    parts = controls.pictures
    outputs = [controls.held, controls.model, controls.size, controls.frames, *foot.judged()]

    def take(
        event: gr.EventData,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        prompt: Chosen,
        held: str,
        lines: bool,
        seeds: Chosen,
    ) -> list[Any]:
        found = put(engine, event._data, model, size, frames, prompt, held, lines, seeds)
        return [*found, gr.Tabs(selected="make")]

    parts.places.select(take, asked_by(controls, more), [*outputs, parts.told, tabs], **QUIET)


def put(
    engine: Engine,
    data: object,
    model: Chosen,
    size: Chosen,
    frames: Chosen,
    prompt: Chosen,
    held: str,
    lines: bool,
    seeds: Chosen,
) -> list[Any]:
    """Updates for what is held, model, size, length, verdict and button, and what to say.

    Args:
        data: ``{"pictures": {"image": SHA-256 or ""}}`` or ``{"fit": "pad"}``, from a browser.
    """
    given = data if isinstance(data, dict) else {}
    fields = fields_of(held)
    before = fields.get("image")
    pictures = given.get("pictures")
    for name, value in pictures.items() if isinstance(pictures, dict) else ():
        if name == "image":  # also the one that is here: a clip may hold still
            fields.pop("after", None)
        if name in SLOTS and value == "":
            fields.pop(name, None)
        elif name in SLOTS and isinstance(value, str) and SHA256.fullmatch(value):
            engine.intake.find(value)  # a sentence where it is gone
            fields[name] = value
    if given.get("fit") in ("crop", "pad"):
        fields["fit"] = given["fit"]
    clip = _before(engine, given.get("after"))
    if clip is not None:
        fields["after"] = clip.identity.digest
    now = held_as(fields)
    presets = engine.presets
    was = presets.models[known_model(presets, model)]
    begins = "image" in fields or "last_image" in fields
    preset = counterpart(presets, was, begins)
    said = NOTHING
    if preset is not was:
        said = Text("pictures.begins" if begins else "pictures.words_alone", model=preset.name)
    elif begins and not preset.begins_with_picture:
        said = Text("pictures.no_model", model=preset.name)
    fresh = preset is not was or fields.get("image") != before
    wanted: Chosen = None if fresh else size
    if clip is not None:  # both become one file
        wanted, said = f"{clip.request.height}×{clip.request.width}", Text("pictures.goes_on")
    told = judged(engine, preset.id, wanted, frames, prompt, now, lines, seeds)
    if clip is not None:
        told[0] = gr.Radio(told[0].choices, value=wanted)
    if fresh:
        told[1] = gr.Radio(told[1].choices, value=frames)
    chosen = gr.Dropdown(model_choices(engine), value=preset.id) if preset is not was else gr.skip()
    return [now, chosen, *told, said_html(said)]


def _before(engine: Engine, after: object) -> Clip | None:
    """The clip whose file has the SHA-256 ``after``, from a browser."""
    return engine.library.with_digest(after) if isinstance(after, str) else None
