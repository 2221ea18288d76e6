"""What the page says while the queue is paused, and what its buttons do."""

from types import SimpleNamespace

import pytest

from engine.engine import Engine
from engine.pause import Paused
from engine.store import StoreError
from engine.text import Language
from engine.worker.status import EngineState, Status
from tests.conftest import Ask
from ui import wording
from ui.live import Live
from ui.tabs import pausing
from ui.tabs.strip import QueueView


def line(engine: Engine, status: Status | None = None, language: Language = "en") -> str:
    return wording.say(pausing.engine_line(engine, status or Status()), language)


def test_the_buttons_pause_and_resume(engine: Engine) -> None:
    for asked, paused in (
        ("pause", Paused.AFTER),
        ("now", Paused.NOW),
        ("resume", Paused.NO),
        ("resume", Paused.NO),
    ):
        assert pausing.act(engine, asked) is None
        assert engine.jobs.pause.get() is paused


@pytest.mark.parametrize("asked", [None, "", "stop", 5, ["pause"], {"do": "pause"}])
def test_whatever_a_browser_sends_is_answered_with_a_sentence(
    engine: Engine, asked: object
) -> None:
    assert str(pausing.act(engine, asked)).endswith("Load the page again.")
    assert not engine.is_paused()


def test_a_pause_that_cant_be_kept_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("The disk is full.", "Free some space.")

    monkeypatch.setattr(engine.settings.__class__, "change", full)
    assert str(pausing.act(engine, "pause")) == "The disk is full. Free some space."


def test_the_line_says_what_is_free_and_what_waits(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pause()
    assert line(engine) == "Paused. The memory is free; no clip waits."
    first = engine.jobs.add(ask())
    assert line(engine) == "Paused. The memory is free; 1 clip waits."
    engine.jobs.add(ask())
    monkeypatch.setattr(engine.recorder, "latest", lambda: SimpleNamespace(gpu=object()))
    assert line(engine) == "Paused. VRAM is free; 2 clips wait."
    assert line(engine, language="zh") == "已暂停。显存已释放；2 个片段在等待。"
    other = Status(state=EngineState.ELSEWHERE)
    assert line(engine, other) == "Paused. Another Headroom process has the engine; 2 clips wait."
    assert line(engine, Status(worker_pid=5)) == "Pausing…", "it holds the memory still"
    engine.resume()
    engine.jobs.claim(first.id)
    engine.pause()
    assert line(engine, Status(worker_pid=5)) == "Pauses when this clip is finished."
    engine.pause(now=True)
    assert line(engine, Status(worker_pid=5)) == "Pausing…"


def test_the_live_stream_tells_it(engine: Engine, ask: Ask) -> None:
    engine.jobs.add(ask())
    live = Live(engine)
    assert live.state()["paused"] is False
    engine.pause()
    live._at = 0.0  # two looks within a turn share one answer
    state = wording.spoken(live.state(), "en")
    assert (state["paused"], state["waiting-for"]) == (True, "")
    assert str(state["engine"]).startswith("Paused. ")


def test_no_row_says_when_it_starts(engine: Engine, ask: Ask) -> None:
    engine.jobs.add(ask())
    engine.pause()
    (row,) = wording.spoken(QueueView(engine).state(engine.status()), "en")["waiting"]
    assert row["starts"] == ""
    engine.resume()
    (row,) = wording.spoken(QueueView(engine).state(engine.status()), "en")["waiting"]
    assert row["starts"] == "starts next"
