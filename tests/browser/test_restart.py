"""The program ends and comes back while a tab is open: the tab goes on, with what was typed."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TESTS
from tests.support.browser import MARKS, choose_scripted, open_page
from tests.support.served import APP, LAZY, Served, serve

pytestmark = [*MARKS, pytest.mark.long]


class Program:
    """One that can be ended, and started again at its address and on its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "HEADROOM_HOME": str(folder / "home"),
            "HEADROOM_PRESETS": str(TESTS / "fixtures/presets"),
        }
        self.served = self._start(None, LAZY)

    def _start(self, port: int | None, program: Sequence[str | Path]) -> Served:
        return serve(self._folder / "serve.log", port, self._environment, program)

    def end(self) -> None:
        self.served.end(signal.SIGTERM)

    def come_back(self, program: Sequence[str | Path] = APP) -> None:
        self.served = self._start(self.served.port, program)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("restart"))
    yield made
    made.end()


@pytest.fixture
def tab(chromium: Any, program: Program) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    open_page(page, program.served)
    choose_scripted(page)
    page.fill("#prompt textarea", "steps=2 typed before")
    yield page
    page.close()


def test_what_was_chosen_before_is_made_by_the_next_program(program: Program, tab: Any) -> None:
    program.end()
    program.come_back()
    tab.wait_for_selector("[data-live=engine] >> text=ready")
    tab.click("#generate")
    tab.wait_for_selector("#strip li.made >> text=typed before", state="attached")
    assert "list of choices" not in tab.inner_text("body")


def test_a_prompt_typed_while_it_was_gone_is_there_afterwards(program: Program, tab: Any) -> None:
    tab.evaluate("window.before = true")
    program.end()
    tab.fill("#prompt textarea", "steps=2 typed meanwhile")
    program.come_back(LAZY)
    tab.wait_for_function("window.before === undefined")  # Gradio's own reload
    tab.wait_for_function(
        "document.querySelector('#prompt textarea')?.value === 'steps=2 typed meanwhile'"
    )
    tab.wait_for_selector("#hint")
    tab.click("#generate")
    tab.wait_for_selector("#strip li.made >> text=typed meanwhile", state="attached")
