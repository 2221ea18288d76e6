"""Presses of a page without a browser: what an event of it answers to who fired it."""

from typing import Any

import gradio as gr


def press(page: gr.Blocks, elem_id: str, *values: Any, event: str = "click") -> list[Any]:
    """What the button (or field) ``elem_id`` gets, if ``values`` are its event's inputs.

    Raises:
        KeyError: there is no such part, or nothing happens at ``event``.
    """
    parts = {getattr(part, "elem_id", None): part for part in page.blocks.values()}
    part = parts[elem_id]
    happens = {target: one for one in page.fns.values() for target in one.targets}
    renewed = type(part)(elem_id=elem_id)  # as a session has it, with a number of its own
    given: list[Any] = list(happens[part._id, event].fn(gr.EventData(renewed, {}), *values))
    return given
