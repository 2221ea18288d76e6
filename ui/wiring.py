"""How every event of the page is wired: at once, without a spinner, and not part of an API."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from engine.errors import HeadroomError
from engine.text import Text
from ui.wording import say

# What a list, a radio or a number may hold, whatever it was built with: which of these it has to
# be is for the engine to say, in the field's own words.
Chosen = str | int | float | None

# Everything here answers at once, so nothing needs Gradio's queue or its spinners. Programs have
# endpoints of their own (api/gradio_endpoints.py), which are documented.
QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
# What a person does. The page's other events look again by themselves.
ACTS = {"click", "input", "submit", "edit", "expand"}


def pressed_id(event: gr.EventData) -> str | None:
    """The ``elem_id`` of what fired an event that several parts share. Gradio's own number for it
    is another one as soon as the part has been renewed in a session."""
    return getattr(event.target, "elem_id", None)


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


def check_types(page: gr.Blocks) -> None:
    """Have no event of ``page`` run with a value that isn't of the type its handler declares.

    Any event can be called with any JSON, hidden or not, and a handler that is told ``str`` goes
    on as if it were one. So this is where types are held, and handlers trust theirs.

    Gradio's own fields check nothing then. They would hold a value against the choices and limits
    that they have in this session, and answer in Python's words; and a program that was started
    anew, or has forgotten the tab among a hundred others, knows only the choices that the page was
    built with. Which values are right is for the engine to say, in sentences.

    Raises:
        TypeError: a handler declares none for one of its values, or one that takes anything.
    """
    for event in page.fns.values():
        if event.fn is not None and event.api_visibility == "private":
            event.fn, event.preprocess = _checking(event.fn), False


def _checking(act: Callable[..., Any]) -> Callable[..., Any]:
    """``act``, called with values of its declared types only; ``*values`` share one."""
    fixed: list[TypeAdapter[Any] | None] = []
    rest: TypeAdapter[Any] | None = None
    for name, parameter in inspect.signature(act, eval_str=True).parameters.items():
        adapter = _adapter(act, name, parameter.annotation)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            rest = adapter
        elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            fixed.append(adapter)

    def check(values: tuple[Any, ...]) -> None:
        for at, value in enumerate(values):
            adapter = fixed[at] if at < len(fixed) else rest
            if adapter is None:
                continue
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                said = say(Text("wiring.not_sent_by_us"))
                raise gr.Error(said, print_exception=False) from error

    @functools.wraps(act)
    def checked(*values: Any) -> Any:
        check(values)
        return act(*values)

    @functools.wraps(act)
    async def checked_later(*values: Any) -> Any:
        check(values)
        return await act(*values)

    return checked_later if inspect.iscoroutinefunction(act) else checked


def _adapter(act: Callable[..., Any], name: str, declared: Any) -> TypeAdapter[Any] | None:
    """What holds a value against ``declared``; None for what Gradio itself passes in."""
    if declared in (inspect.Parameter.empty, Any, object):
        raise TypeError(f"{act!r} doesn't say of which type {name} is.")
    if inspect.isclass(declared) and issubclass(declared, gr.Request | gr.EventData):
        return None
    return TypeAdapter(declared)
