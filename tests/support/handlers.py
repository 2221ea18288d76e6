"""Finds what the page does with a press, for tests that need no browser."""

from collections.abc import Callable
from typing import Any

import gradio as gr


def handler(page: gr.Blocks, elem_id: str, event: str = "click") -> Callable[..., Any]:
    """What the page does when that happens to that part."""
    found: list[Callable[..., Any]] = [
        fn.fn
        for fn in page.fns.values()
        if any(
            name == event and page.blocks[id].elem_id == elem_id for id, name in fn.targets if id
        )
    ]
    (one,) = found
    return one
