"""What the page's events do with our errors, and with values that aren't of their type."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from engine.engine import Engine
from engine.kernels.kernel_test import Busy, KernelTest
from engine.store import StoreError
from ui.page import build_page
from ui.share.session import Sharing
from ui.tabs.prompts import History
from ui.wiring import QUIET, Chosen, check_types, tell_errors


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


@dataclass(frozen=True)
class Kept:
    text: str = ""


def test_a_handler_runs_with_values_of_its_declared_types_only() -> None:
    def act(model: Chosen, on: bool, kept: Kept, count: int | None, request: gr.Request) -> str:
        return f"{model} {on} {kept.text} {count}"

    with gr.Blocks() as page:
        parts = [gr.Dropdown(), gr.Checkbox(), gr.State(Kept()), gr.State(None)]
        gr.Button().click(act, parts, gr.HTML(), **QUIET)
    check_types(page)
    (event,) = page.fns.values()
    assert event.fn("a", True, Kept("b"), 5, gr.Request()) == "a True b 5"
    assert event.fn(1.5, False, Kept(), None, gr.Request()) == "1.5 False  None"
    good = ["a", True, Kept(), 5]
    for place, value in [
        (0, ["a"]),
        (0, {"a": 1}),
        (1, "true"),
        (1, 1),
        (1, None),
        (2, {"text": "b"}),
        (2, None),
        (3, True),
        (3, "5"),
        (3, 5.0),
    ]:
        with pytest.raises(gr.Error, match="out of date"):
            event.fn(*good[:place], value, *good[place + 1 :], gr.Request())


@pytest.mark.parametrize("declared", [Any, object, inspect.Parameter.empty])
def test_a_handler_has_to_declare_what_it_takes(declared: object) -> None:
    def act(value: str) -> str:
        return value

    act.__annotations__["value"] = declared
    if declared is inspect.Parameter.empty:
        del act.__annotations__["value"]
    with gr.Blocks() as page:
        gr.Button().click(act, gr.Textbox(), gr.HTML(), **QUIET)
    with pytest.raises(TypeError, match="of which type value is"):
        check_types(page)


def test_no_event_of_the_page_trusts_a_type(engine: Engine) -> None:
    places = 0
    for act, declared in handlers(build_page(engine)):
        for place in range(len(declared)):
            values = [usual(one) for one in declared]
            values[place] = lambda: None
            with pytest.raises(gr.Error, match="out of date"):
                run(act, values)
            places += 1
    assert places > 80, "the page's values were looked at"


@pytest.mark.parametrize("value", [None, 5, -1.5, float("nan"), True, "", "×", "0×0", "x" * 5000])
def test_what_the_lists_never_offered_is_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, value: Chosen
) -> None:
    """Of the type of a list's value, and yet not in it: the ideas' lists took a list for a model's
    name, and fell over it."""
    monkeypatch.setattr(Sharing, "start", no_share)
    monkeypatch.setattr(KernelTest, "run", no_test)  # it has the processor for 15 seconds
    tried = 0
    for act, declared in handlers(build_page(engine)):
        if Chosen in declared:
            with contextlib.suppress(gr.Error):
                run(act, [value if one == Chosen else usual(one) for one in declared])
            tried += 1
    assert tried > 15


def test_a_field_that_an_event_set_takes_the_same_values_as_before(engine: Engine) -> None:
    """Gradio makes such a field anew for the session, with checks and words of its own."""
    page = build_page(engine)
    (save,) = (
        event
        for event in page.fns.values()
        for number, _ in event.targets
        if getattr(page.blocks.get(number), "elem_id", None) == "llm-save"
    )
    session = SessionState(page)

    def press(seconds: object) -> str:
        values = ["http://127.0.0.1:9/v1", "a model", "", seconds]
        told = asyncio.run(page.process_api(save, values, state=session))["data"]
        return str(told[0])

    assert "Saved" in press(30)
    for seconds in (-1, 1e9):
        assert "1 to 600 seconds" in press(seconds)
    for nonsense in ("x", [1]):
        with pytest.raises(gr.Error, match="out of date"):
            press(nonsense)


def handlers(page: gr.Blocks) -> Iterator[tuple[Callable[..., Any], list[Any]]]:
    """The page's events that get values, and the declared types of these."""
    for event in page.fns.values():
        if event.fn is None or event.api_visibility != "private" or not event.inputs:
            continue
        parameters = inspect.signature(event.fn, eval_str=True).parameters.values()
        passed = [p.annotation for p in parameters if p.kind is not p.KEYWORD_ONLY]
        given = [one for one in passed if one not in (gr.Request, gr.EventData)]
        if given == passed:  # the others are told by Gradio who asks
            yield event.fn, given[: len(event.inputs)]


def usual(declared: Any) -> Any:
    """A value of a type that a handler declares."""
    known = {str: "", bool: False, History: History(), tuple[str, str]: ("", "")}
    return known.get(declared)


def run(act: Callable[..., Any], values: list[Any]) -> None:
    called = act(*values)
    if inspect.isawaitable(called):
        asyncio.run(_ended(called))


async def _ended(called: Awaitable[Any]) -> None:
    await called


def no_test(*_: object, **__: object) -> None:
    raise Busy("Not now.", "Later.")


def no_share(*_: object) -> None:
    raise StoreError("No share in this test.", "")
