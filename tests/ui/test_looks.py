"""What happens by itself is one event, whose looks don't stand in each other's way."""

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest

from engine.engine import Engine
from engine.store import StoreError
from ui.looks import Looks
from ui.page import build_page
from ui.wiring import check_types, tell_errors


@pytest.fixture
def parts() -> list[gr.HTML]:
    with gr.Blocks():
        return [gr.HTML() for _ in range(5)]


def wired(add: Callable[[Looks], None]) -> Any:
    """The one event, as the page calls it."""
    with gr.Blocks() as page:
        looks = Looks(page.load)
        add(looks)
        looks.wire()
    tell_errors(page)
    check_types(page)
    (event,) = page.fns.values()
    return event


def test_each_look_has_its_own_inputs_and_outputs(parts: list[gr.HTML]) -> None:
    one, two, three, four, _ = parts

    def both(a: str, b: int) -> list[str]:
        return [a, str(b)]

    def add(looks: Looks) -> None:
        looks.add(both, [one, two], [one, two])
        looks.add(lambda: "three", [], [three])
        looks.add(lambda: ["list", "of one"], [], [four])

    event = wired(add)
    assert event.fn("a", 1) == ["a", "1", "three", ["list", "of one"]]
    assert event.outputs == parts[:4]
    assert [name for _, name in event.targets] == ["load"]


def test_one_look_gives_one_value(parts: list[gr.HTML]) -> None:
    assert wired(lambda looks: looks.add(lambda: "x", [], [parts[0]])).fn() == "x"


def test_one_that_fails_takes_no_other_with_it(
    parts: list[gr.HTML], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> list[str]:
        raise StoreError("The disk is full.", "Free some space.")

    def refuse() -> str:
        raise gr.Error("There is no such model here.")

    def bug() -> str:
        raise ValueError("ours to mend")

    def add(looks: Looks) -> None:
        looks.add(fail, [], parts[:2])
        looks.add(refuse, [], [parts[2]])
        looks.add(bug, [], [parts[3]])
        looks.add(lambda: "shown", [], [parts[4]])

    with caplog.at_level(logging.ERROR):
        assert wired(add).fn() == [*[gr.skip()] * 4, "shown"]
    assert "ours to mend" in caplog.text
    assert "disk is full" not in caplog.text, "the live panel tells it"
    assert "no such model" not in caplog.text, "anybody may send anything"


def test_types_are_held_look_by_look(parts: list[gr.HTML]) -> None:
    def number(value: int) -> str:
        return str(value)

    def text(value: str) -> str:
        return value

    def add(looks: Looks) -> None:
        looks.add(number, [parts[0]], [parts[0]])
        looks.add(text, [parts[1]], [parts[1]])

    event = wired(add)
    assert event.fn(1, "a") == ["1", "a"]
    for wrong in ((1, 2), ("a", "b")):
        with pytest.raises(gr.Error):
            event.fn(*wrong)


def test_two_looks_never_renew_the_same_part(parts: list[gr.HTML]) -> None:
    def twice(looks: Looks) -> None:
        looks.add(lambda: "one", [], parts[:1])
        looks.add(lambda: "two", [], parts[:1])

    with pytest.raises(ValueError, match="same part"):
        wired(twice)


def test_the_page_has_one_event_for_what_happens_by_itself(engine: Engine) -> None:
    page = build_page(engine)
    happened = [target for event in page.fns.values() for target in event.targets]
    alone = [target for target in happened if target[1] in ("load", "tick")]
    assert len(alone) == len(set(alone)) == 2
