"""Choices and numbers whose values reach the engine as the browser sent them.

Gradio holds a value against the choices that it has set in this session, and answers with Python's
own words. A program that was started anew, or has forgotten the tab among a hundred others, knows
only the choices that the page was built with, and would refuse what the tab shows. The engine
checks every value anyway, and says in sentences what is wrong.
"""

import gradio as gr


def take_as_sent(page: gr.Blocks) -> None:
    """Have no choice and no number of ``page`` refuse anything but lists and objects."""
    for block in page.blocks.values():
        if isinstance(block, gr.Radio | gr.Dropdown | gr.Number):
            # Not a subclass: Gradio writes a .pyi file beside the module of each of these.
            block.preprocess = _one


def _one(value: object) -> str | int | float | None:
    """Raises gr.Error for a list or an object, which no field of ours holds."""
    if value is None or isinstance(value, str | int | float):
        return value
    raise gr.Error("There is no such choice. Reload the page.", print_exception=False)
