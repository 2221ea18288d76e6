"""One truth about what is chosen: the line, and what the primary button does next."""

from collections.abc import Iterable
from typing import Any

import pytest

from engine.engine import Engine
from engine.guard.duration import Duration
from engine.guard.verdict import Verdict, Word
from engine.request import Size
from engine.units import GIB
from tests.conftest import Ask
from tests.support.hub import Hub
from ui.tabs import generate
from ui.tabs.truth import Step, truth_html, truth_of
from ui.wording import say

SIZE = Size(480, 832, 81)
OPEN = Verdict(Word.OPEN, "Measured.", "measured", 6 * GIB, 15 * GIB, hedge="up_to")
LOCKED = Verdict(Word.LOCKED, "Nothing as large.", "none", 9 * GIB, 15 * GIB, "Measure it.")
BUSY = Verdict(Word.BUSY, "a-game 13 GB.", "measured", 6 * GIB, GIB, "Close it.")
IMPOSSIBLE = Verdict(Word.IMPOSSIBLE, "It ran out.", "measured", None, 15 * GIB, "Smaller.")


def judge_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, fits: Size | None = None
) -> None:
    """Have the guard say ``verdict`` of every size but ``fits``."""

    def verdicts(model: str, sizes: Iterable[Size]) -> dict[Size, Verdict]:
        return {size: OPEN if size == fits else verdict for size in sizes}

    monkeypatch.setattr(engine.guard, "verdicts", verdicts)


def truth(engine: Engine, verdict: Verdict, model: str = "wan-tiny", **more: Any) -> Any:
    preset = engine.presets.models[model]
    return truth_of(engine, preset, more.pop("size", SIZE), verdict, more.pop("duration", None))


def test_what_fits_is_generated_or_waits_its_turn(engine: Engine, ask: Ask) -> None:
    found = truth(engine, OPEN, duration=Duration(22.0, "measured"))
    assert (found.step, say(found.label)) == (Step.GENERATE, "Generate")
    assert say(found.said) == "Fits: up to 6.0 GB of 15.0 GB, about 22 s"
    engine.jobs.add(ask())
    found = truth(engine, OPEN)
    assert (found.step, say(found.label)) == (Step.QUEUE, "Queue (1 waiting)")
    assert "first clip will show how long" in say(found.why)


def test_memory_in_use_is_waited_for(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = truth(engine, BUSY)
    assert (found.step, say(found.said)) == (Step.QUEUE, "Memory in use. a-game 13 GB.")
    judge_all(engine, monkeypatch, BUSY)
    form = generate.Form("a ball", "scripted", "32×48", 5, "")
    told = generate.act(engine, "queue", form, False, 1, True)
    assert "truth busy" in told[2]
    assert [job.request.prompt for job in engine.jobs.waiting()] == ["a ball"]


def test_an_untested_size_is_tested_and_not_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge_all(engine, monkeypatch, LOCKED)
    form = generate.Form("", "scripted", "32×48", 5, "")
    told = generate.act(engine, "test", form, False, 1, True)
    (job,) = engine.jobs.waiting()
    assert (job.kind, job.request.size) == ("probe", Size(32, 48, 5))
    assert "data-step='none'" in told[2]
    assert told[3].interactive is False
    generate.act(engine, "test", form, False, 1, True)
    assert len(engine.jobs.waiting()) == 1


def test_what_is_too_large_offers_the_nearest_that_can_be_chosen(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = Size(128, 128, 9)
    judge_all(engine, monkeypatch, IMPOSSIBLE, fits=shorter)
    found = truth(engine, IMPOSSIBLE, size=Size(128, 128, 33))
    assert (found.step, found.size, say(found.label)) == (Step.SMALLER, shorter, "Use 0.6 s")
    found = truth(engine, IMPOSSIBLE, size=Size(256, 256, 9))
    assert say(found.label) == "Use 128 × 128"
    form = generate.Form("a ball", "wan-tiny", "128×128", 33, "")
    size, frames, line, press = generate.act(engine, "smaller", form, False, 1, True)
    assert (size.value, frames.value, press.value) == ("128×128", 9, "Generate")
    assert 9 in [value for _, value in frames.choices]
    assert "truth open" in line
    judge_all(engine, monkeypatch, IMPOSSIBLE)
    found = truth(engine, IMPOSSIBLE)
    assert (found.step, found.size) == (Step.NONE, None)


def test_a_button_that_changed_meanwhile_does_nothing_but_tell(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever presses what was on show isn't given something else for it."""
    judge_all(engine, monkeypatch, OPEN)
    form = generate.Form("a ball", "scripted", "32×48", 5, "")
    for step in ("test", "download", "smaller", "none", "nonsense"):
        told = generate.act(engine, step, form, False, 1, True)
        assert told[3].value == "Generate"
    assert engine.jobs.waiting() == []


@pytest.mark.starts
def test_weights_that_are_missing_are_the_next_step(hub: Hub, engine: Engine) -> None:
    found = truth(engine, OPEN, "fetched")
    assert (found.step, say(found.label)) == (Step.DOWNLOAD, "Download 8.0 MB")
    assert say(found.said) == "Fits: up to 6.0 GB of 15.0 GB. 8.0 MB to download."


def test_nothing_in_the_line_becomes_markup(engine: Engine) -> None:
    hostile = Verdict(Word.BUSY, "<img src=x onerror=1>", "measured", GIB, GIB)
    line = truth_html(truth(engine, hostile), "<b>", SIZE)
    assert "<img" not in line
    assert "<b>" not in line
