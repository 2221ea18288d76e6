"""The card of what makes clips, in each of its states, and what the live stream says meanwhile."""

import contextvars
from dataclasses import dataclass

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.install.background import BackgroundInstall, InstallState
from engine.presets import Presets
from engine.text import Text
from ui.live import Live
from ui.tabs import installing
from ui.tabs.choices import model_choices
from ui.tabs.first_run import FirstRun, first_run
from ui.wording import speak

HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass
class Scripted(BackgroundInstall):
    """An arrival whose state a test writes."""

    state: InstallState

    def look(self) -> InstallState:
        return self.state


def test_nothing_is_shown_once_it_is_here() -> None:
    card, text, button = installing.refreshed(Scripted(InstallState("here")))
    assert (card.visible, text, button.visible) == (False, "", False)


def test_the_step_is_shown_while_it_is_installed() -> None:
    card, text, button = installing.refreshed(Scripted(InstallState("working", f"Step {HOSTILE}")))
    assert (card.visible, button.visible) == (True, False)
    assert "being installed" in text
    assert "data-live='arriving'" in text
    assert "<img" not in text


def test_the_card_speaks_the_language_of_whoever_asks() -> None:
    chinese = contextvars.copy_context()
    chinese.run(speak, "zh")
    beginning = InstallState("working", Text("install.beginning"))
    text = chinese.run(installing.card_html, beginning)
    assert "正在安装" in text
    assert "<p class='told' data-live='arriving'>正在开始</p>" in text
    remedy = Text("install.log_has_it", file="a.log")
    failed = InstallState("failed", told="No space", remedy=remedy)
    assert "它的全部输出见 a.log。" in chinese.run(installing.card_html, failed)
    assert "All it said is in a.log." in installing.card_html(failed)


def test_a_failure_is_shown_with_its_reason_and_a_button() -> None:
    state = InstallState("failed", told=f"No space {HOSTILE}", remedy="Make room.")
    card, text, button = installing.refreshed(Scripted(state))
    assert (card.visible, button.visible) == (True, True)
    assert "not installed" in text
    assert "Make room." in text
    assert "<img" not in text


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (InstallState("working", "Installing PyTorch"), "Setting up what makes clips, once"),
        (
            InstallState("failed", told="x"),
            "What makes clips isn't installed; the Models tab says why",
        ),
        (InstallState("here"), "The engine is off"),
    ],
)
def test_the_live_line_says_so(engine: Engine, state: InstallState, told: str) -> None:
    seen = Live(engine, Scripted(state)).state()
    assert str(seen["engine"]).startswith(told)
    assert seen["packages"] == state.phase
    assert seen["arriving"] == state.doing


def test_the_default_model_can_be_chosen_before_its_engine_is_here(
    engine: Engine, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.pipelines.engine_here", lambda: False)
    models = [model for _, model in model_choices(engine)]
    assert presets.default.id in models
    assert not [model for model in models if model.startswith("wan2.1")]
    assert first_run(engine) == FirstRun()  # nothing of it can be tried yet
    assert (
        BackgroundInstall(Home.find()).look().phase == "here"
    )  # this environment has it all the same
