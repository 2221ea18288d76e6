"""How every event of the page is wired: at once, without a spinner, and not part of an API."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.errors import HeadroomError
from ui.wording import say

# Everything here answers at once, so nothing needs Gradio's queue or its spinners. Programs have
# endpoints of their own (api/gradio_endpoints.py), which are documented.
QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
# What a person does. The page's other events look again by themselves.
ACTS = {"click", "input", "submit", "edit", "expand"}


def tell_errors(page: gr.Blocks) -> None:
    """Have the events of ``page`` say our errors as sentences, where Gradio would say "Error".

    What looks again by itself leaves on show what is there: the live panel tells the cause.
    """
    for event in page.fns.values():
        if event.fn is not None and event.api_visibility == "private":
            asked = any(name in ACTS for _, name in event.targets)
            event.fn = _telling(event.fn, 0 if asked else len(event.outputs))


def _telling(act: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """``act``, whose errors skip so many ``outputs``; with none they are told."""

    def instead(error: HeadroomError) -> Any:
        if not outputs:
            raise gr.Error(say(error.text), print_exception=False) from error
        skipped = [gr.skip() for _ in range(outputs)]
        return skipped[0] if outputs == 1 else skipped

    @functools.wraps(act)
    def told(*values: Any) -> Any:
        try:
            return act(*values)
        except HeadroomError as error:
            return instead(error)

    @functools.wraps(act)
    async def told_later(*values: Any) -> Any:
        try:
            return await act(*values)
        except HeadroomError as error:
            return instead(error)

    # Gradio awaits only what it sees to be a coroutine's function.
    return told_later if inspect.iscoroutinefunction(act) else told


def take_as_sent(page: gr.Blocks) -> None:
    """Have no choice and no number of ``page`` refuse anything but lists and objects.

    Gradio holds a value against the choices that it has set in this session, and answers with
    Python's own words. A program that was started anew, or has forgotten the tab among a hundred
    others, knows only the choices that the page was built with, and would refuse what the tab
    shows. The engine checks every value anyway, and says in sentences what is wrong.
    """
    for block in page.blocks.values():
        if isinstance(block, gr.Radio | gr.Dropdown | gr.Number):
            # Not a subclass: Gradio writes a .pyi file beside the module of each of these.
            block.preprocess = _one


def _one(value: object) -> str | int | float | None:
    """Raises gr.Error for a list or an object, which no field of ours holds."""
    if value is None or isinstance(value, str | int | float):
        return value
    raise gr.Error("There is no such choice. Reload the page.", print_exception=False)
