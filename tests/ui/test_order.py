"""The last choice wins: none is lost while another is answered, and no older look undoes one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from engine.engine import Engine
from ui.order import Act, Order, in_order
from ui.page import build_page
from ui.tabs import generate, truth
from ui.wiring import QUIET


@contextmanager
def session(name: str) -> Iterator[None]:
    token = LocalContext.request.set(SimpleNamespace(session_hash=name))
    try:
        yield
    finally:
        LocalContext.request.reset(token)


def of(page: gr.Blocks, elem_id: str, name: str) -> list[Any]:
    """The page's events of that part and kind."""
    return [
        event
        for event in page.fns.values()
        for part, happened in event.targets
        if happened == name and getattr(page.blocks.get(part), "elem_id", None) == elem_id
    ]


class Tab:
    """A page with a choice and a look at what it shows, which can be held in the middle."""

    def __init__(self) -> None:
        self.during: Any = lambda: None

        def look(choice: str) -> list[str]:
            self.during()
            return [f"look {choice}", "other"]

        def act(choice: str) -> str:
            self.during()
            return f"act {choice}"

        with gr.Blocks() as page:
            choice, shown, other = gr.Textbox(), gr.HTML(), gr.HTML()
            page.load(look, choice, [shown, other], **QUIET)
            choice.input(act, choice, shown, **QUIET)
        in_order(page)
        self.look, self.act = (event.fn for event in page.fns.values())

    def refuse_next(self) -> None:
        """In the middle of what is asked next, a choice is made and refused."""

        def fail() -> None:
            raise gr.Error("no")

        def choose() -> None:
            self.during = fail
            with pytest.raises(gr.Error):
                self.act("refused")

        self.during = choose


def test_a_look_that_a_choice_overtook_leaves_that_part_alone() -> None:
    tab = Tab()
    with session("one"):
        assert tab.look("a") == ["look a", "other"], "nobody has chosen yet"

        def choose() -> None:
            tab.during = lambda: None
            assert tab.act("b") == "act b"

        tab.during = choose
        assert tab.look("a") == [gr.skip(), "other"]
        assert tab.look("b") == ["look b", "other"], "the choice was before it"


def test_a_look_that_began_while_a_choice_was_answered_is_older_than_that() -> None:
    held: list[Any] = []

    async def slow(choice: str) -> str:
        held.append(asyncio.Event())
        await held[0].wait()
        return choice

    async def look(choice: str) -> str:
        await asyncio.sleep(0)
        held[0].set()
        await asyncio.sleep(0.01)
        return choice

    with gr.Blocks() as page:
        choice, shown = gr.Textbox(), gr.HTML()
        page.load(look, choice, shown, **QUIET)
        choice.input(slow, choice, shown, **QUIET)
    in_order(page)
    looks, acts = (event.fn for event in page.fns.values())

    async def both() -> list[Any]:
        return list(await asyncio.gather(acts("new"), looks("old")))

    with session("one"):
        assert asyncio.run(both()) == ["new", gr.skip()]


def test_another_tab_is_nobodys_business() -> None:
    tab = Tab()

    def choose() -> None:
        tab.during = lambda: None
        with session("two"):
            tab.act("b")

    tab.during = choose
    with session("one"):
        assert tab.look("a") == ["look a", "other"]


def test_a_choice_that_fails_counts_as_well() -> None:
    tab = Tab()
    with session("one"):
        tab.refuse_next()
        assert tab.look("a")[0] == gr.skip()


def test_of_two_answers_to_one_choice_the_last_counts() -> None:
    tab = Tab()

    def choose() -> None:
        tab.during = lambda: None
        assert tab.act("second") == "act second"

    with session("one"):
        tab.during = choose
        assert tab.act("first") == gr.skip()
        tab.during = lambda: None
        assert tab.act("third") == "act third"


def test_of_two_looks_the_newer_one_counts() -> None:
    tab = Tab()

    def look() -> None:
        tab.during = lambda: None
        assert tab.look("b") == ["look b", "other"]

    with session("one"):
        tab.during = look
        assert tab.look("a") == [gr.skip(), gr.skip()]


def test_two_different_choices_keep_what_each_sets() -> None:
    """A model sets its usual size; a size that is chosen next renews the verdict beside that."""
    with gr.Blocks() as page:
        model, size, shown = gr.Textbox(), gr.Textbox(), gr.HTML()
        model.input(lambda: ["usual", sized("usual")], None, [size, shown], **QUIET)
        size.input(lambda: "verdict", None, shown, **QUIET)
    in_order(page)
    by_model, by_size = (event.fn for event in page.fns.values())

    def sized(value: str) -> str:
        assert by_size() == "verdict"
        return value

    with session("one"):
        assert by_model() == ["usual", "usual"]


def test_two_of_one_trigger_may_not_wait_for_each_other() -> None:
    with gr.Blocks() as page:
        box, shown = gr.Textbox(), gr.HTML()
        box.change(lambda: "one", None, shown, **QUIET)
        gr.on([box.change], lambda: "two", None, shown, trigger_mode="always_last", **QUIET)
    with pytest.raises(ValueError, match="wait for each other"):
        in_order(page)


def test_a_choice_that_is_refused_leaves_the_answer_before_it() -> None:
    tab = Tab()
    with session("one"):
        tab.refuse_next()
        assert tab.act("first") == "act first"


def test_a_look_that_no_choice_concerns_is_always_shown() -> None:
    """It may be told once: a model that has come while its button was answered."""
    during: list[Any] = []

    def press() -> str:
        return "".join(look() for look in during)

    with gr.Blocks() as page:
        shown, button = gr.HTML(), gr.Button()
        page.load(lambda: "it has come", None, shown, **QUIET)
        button.click(press, None, shown, **QUIET)
    in_order(page)
    looked, pressed = (event.fn for event in page.fns.values())
    during.append(looked)
    with session("one"):
        assert pressed() == "it has come", "it began while the press was answered"


def test_sessions_are_forgotten_from_the_oldest_on() -> None:
    order, act = Order(limit=2), Act([7], [7, 8])
    number = order.begin("two", 5, act)
    order.begin("one", 5, act)
    order.begin("two", 5, act)
    order.begin("three", 5, act)
    assert order.overtaken("two", number, [8], [7, 9]) == [True, False]
    assert order.overtaken("two", number, [9], [7]) == [True], "it began before that act"
    assert order.again("three", 5, number)
    assert order.overtaken("one", number, [8], [7]) == [False], "the oldest"


def test_every_choice_on_the_page_is_asked_and_no_press_twice(engine: Engine) -> None:
    page = build_page(engine)
    choices = ["size", "frames", "model", "measure-card", "measure-size", "idea", "saved"]
    for elem_id in choices:
        (event,) = [one for one in of(page, elem_id, "input") if one.fn]
        assert event.trigger_mode == "multiple", elem_id
    for elem_id in ("embed", "smooth-after", "enlarge-after"):
        (event,) = [one for one in of(page, elem_id, "input") if one.fn]
        assert event.trigger_mode == "always_last", f"{elem_id}: kept one after the other"
    for elem_id in ("generate", "measure", "kernels-test", "saved-save"):
        assert {event.trigger_mode for event in of(page, elem_id, "click")} == {"once"}, elem_id
    for happened in ("tick", "change", "release"):
        (event,) = of(page, "stage", happened)
        assert event.trigger_mode == "always_last", happened
    for elem_id, happened in (("stage", "input"), ("library", "select"), ("adapters", "select")):
        (event,) = [one for one in of(page, elem_id, happened) if one.fn]
        assert event.trigger_mode == "once", f"{elem_id}: each tells something else"


def test_the_pages_looks_yield_to_its_choices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page is wired: a size is chosen while the page looks at what has changed."""
    page = build_page(engine)
    (looked,) = of(page, "stage", "change")
    (sized,) = [one for one in of(page, "size", "input") if one.fn]
    chosen = {part._id for part in sized.outputs}
    assert {page.blocks[part].elem_id for part in chosen} == {"size", "frames", "truth", "generate"}

    def held(event: Any) -> list[Any]:
        return [getattr(part, "value", None) for part in event.inputs]

    def skipped() -> set[int]:
        found = zip(looked.outputs, looked.fn(*held(looked)), strict=True)
        return {part._id for part, value in found if value == gr.skip()}

    truth_of = truth.truth_of

    def choose(*told: Any, **more: Any) -> Any:
        monkeypatch.setattr(generate, "truth_of", truth_of)
        sized.fn(*held(sized))
        return truth_of(*told, **more)

    with session("one"):
        before = skipped()
        assert not before & chosen
        monkeypatch.setattr(generate, "truth_of", choose)
        assert skipped() - before == chosen
