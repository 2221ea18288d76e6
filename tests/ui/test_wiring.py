"""What the page's events do with our errors."""

import asyncio
import inspect

import gradio as gr
import pytest

from engine.store import StoreError
from ui.wiring import QUIET, tell_errors


def test_who_presses_is_told_and_what_looks_again_leaves_what_is_there() -> None:
    def fail(event: gr.EventData) -> str:
        raise StoreError("The disk is full.", "Free some space.")

    def bug() -> str:
        raise ValueError("ours to mend")

    with gr.Blocks() as page:
        one, two, button = gr.HTML(), gr.HTML(), gr.Button()
        button.click(fail, None, one, **QUIET)
        page.load(fail, None, one, **QUIET)
        page.load(fail, None, [one, two], **QUIET)
        page.load(bug, None, one, **QUIET)
        button.click(fail, None, one, api_name="public", queue=False)
    tell_errors(page)
    press, alone, both, broken, endpoint = (event.fn for event in page.fns.values())
    with pytest.raises(gr.Error, match=r"The disk is full\. Free some space\."):
        press("event")
    assert alone("event") == gr.skip()
    assert both("event") == [gr.skip(), gr.skip()]
    with pytest.raises(ValueError, match="ours to mend"):
        broken()
    assert endpoint is fail, "programs get errors of their own"


def test_what_waits_is_still_awaited() -> None:
    async def later(text: str) -> str:
        if text == "fail":
            raise StoreError("The disk is full.", "Free some space.")
        return text

    with gr.Blocks() as page:
        box, button = gr.Textbox(), gr.Button()
        button.click(later, box, box, **QUIET)
    tell_errors(page)
    (event,) = page.fns.values()
    assert inspect.iscoroutinefunction(event.fn)
    assert asyncio.run(event.fn("said")) == "said"
    with pytest.raises(gr.Error, match="The disk is full"):
        asyncio.run(event.fn("fail"))
