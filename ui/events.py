"""How every event of the page is wired: at once, without a spinner, and not part of an API."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from engine.errors import HeadroomError

# Everything here answers at once, so nothing needs Gradio's queue or its spinners. Programs have
# endpoints of their own (api.py), which are documented.
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
            raise gr.Error(str(error), print_exception=False) from error
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
