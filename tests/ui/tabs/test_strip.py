"""The queue's rows and buttons, without a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from engine.doctor.report import last_failure
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import PROBE_PROMPT
from engine.guard.verdict import Verdict, Word
from engine.home import Home
from engine.jobs import State
from engine.request import Size
from engine.store import Store
from engine.text import Text
from engine.worker.status import Status
from tests.conftest import Ask, finish
from ui import wording
from ui.tabs.strip import SHOWN, QueueView, act, edit, edit_form


def view(engine: Engine) -> dict[str, Any]:
    """As an English browser gets it."""
    state: dict[str, Any] = wording.spoken(QueueView(engine).state(engine.status()), "en")
    assert json.loads(json.dumps(state)) == state
    return state


def told(wrong: Text | None) -> str:
    assert wrong is not None
    return wording.say(wrong, "en")


def titles(engine: Engine) -> list[str]:
    return [row["title"] for row in view(engine)["waiting"]]


def test_a_row_says_place_size_seed_and_what_it_is(engine: Engine, ask: Ask) -> None:
    engine.jobs.add(ask("<b>a</b>", seed=5))
    engine.jobs.add(ask(PROBE_PROMPT), "probe")
    first, second = view(engine)["waiting"]
    assert (first["place"], first["title"], first["kind"]) == (1, "<b>a</b>", "clip")
    assert first["size"] == "48 × 32, 0.6 s, seed 5"
    assert first["starts"] == "starts next"
    assert (second["title"], second["starts"]) == ("Measuring 48 × 32, 0.6 s", "")


def test_a_failure_outlasts_the_clips_after_it(engine: Engine, ask: Ask) -> None:
    jobs = engine.jobs
    for number in range(8):
        jobs.claim(jobs.add(ask(f"clip {number}")).id)
        jobs.end(number + 1, State.FAILED if number == 0 else State.DONE, "It broke.", "Fix it.")
    (row,) = view(engine)["ended"]
    assert (row["title"], row["why"]) == ("clip 0", "It broke. Fix it.")
    failed = last_failure(engine)
    assert failed is not None
    assert failed.id == row["id"]


def test_when_each_starts_follows_from_clips_made_before(engine: Engine, ask: Ask) -> None:
    request = ask("a")
    engine.lane.guard.record(
        engine.jobs.add(request).id,
        "clip",
        request.model,
        request.size,
        "ok",
        {"decode": 1},
        {"load": 500.0, "denoise": 60.0, "decode": 30.0},
    )
    for name in "bc":
        engine.jobs.add(ask(name))
    starts = [row["starts"] for row in view(engine)["waiting"]]
    assert starts == ["starts next", "starts in about 2 min", "starts in about 3 min"]


def test_a_job_that_the_guard_would_refuse_now_says_why(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.jobs.add(ask("a"))

    def locked(model: str, sizes: list[Size]) -> dict[Size, Verdict]:
        verdict = Verdict(Word.LOCKED, "Not measured.", "none", None, 0, "Measure it.")
        return dict.fromkeys(sizes, verdict)

    monkeypatch.setattr(engine.guard, "verdicts", locked)
    (row,) = view(engine)["waiting"]
    assert (row["verdict"], row["why"]) == ("locked", "Not measured. Measure it.")


def test_a_long_queue_is_counted_not_drawn(engine: Engine, ask: Ask) -> None:
    engine.jobs.add_all([ask(str(n)) for n in range(SHOWN + 7)])
    state = view(engine)
    assert (len(state["waiting"]), state["more"]) == (SHOWN, 7)


def test_verdicts_are_looked_up_seldom(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.jobs.add(ask("a"))
    shown, looked = QueueView(engine), Mock(wraps=engine.guard.verdicts)
    monkeypatch.setattr(engine.guard, "verdicts", looked)
    for _ in range(10):
        shown.state(Status())
    assert looked.call_count == 1


def test_buttons_move_and_remove(engine: Engine, ask: Ask) -> None:
    jobs = [engine.jobs.add(ask(name)) for name in "abc"]
    assert act(engine, {"do": "up", "job": jobs[2].id}) is None
    assert act(engine, {"do": "cancel", "job": jobs[0].id}) is None
    assert titles(engine) == ["c", "b"]
    assert act(engine, {"do": "again", "job": jobs[0].id}) is None
    assert titles(engine) == ["c", "b", "a"]
    assert "can't be retried" in told(act(engine, {"do": "again", "job": jobs[0].id}))
    assert "is no longer waiting" in told(act(engine, {"do": "up", "job": jobs[0].id}))
    assert act(engine, {"do": "cancel_waiting", "job": None}) is None
    assert titles(engine) == []
    assert len(view(engine)["ended"]) == 3
    assert act(engine, {"do": "clear_ended"}) is None
    assert view(engine)["ended"] == []


def test_what_cant_be_edited_says_why(engine: Engine, ask: Ask) -> None:
    jobs = engine.jobs
    begun, waits, probe = jobs.add(ask("a")), jobs.add(ask("b")), jobs.add(ask("c"), "probe")
    strange = jobs.add(replace(ask("d"), model="gone"))
    jobs.claim(begun.id)
    for job, said in (
        (begun.id, "is no longer waiting. It has started or ended"),
        (probe.id, "is no longer waiting"),
        (strange.id, "there is no model 'gone'"),
        (99, "This job no longer exists. Check the queue."),
    ):
        asked = {"do": "edit", "job": job}
        assert said in told(act(engine, asked))
        assert said in told(edit(engine, {"job": job, "prompt": "x"}))
        with pytest.raises(HeadroomError, match=re.escape(said)):
            edit_form(engine, asked)
    assert act(engine, {"do": "edit", "job": waits.id}) is None
    form = edit_form(engine, {"job": waits.id})
    assert (form["prompt"], form["size"], form["frames"]) == ("b", "32×48", 5)
    assert [value for _, value in form["sizes"]].count("32×48") == 1


def test_an_edit_keeps_the_place_and_refuses_what_is_wrong(engine: Engine, ask: Ask) -> None:
    first, second = engine.jobs.add(ask("a")), engine.jobs.add(ask("b"))
    sent = {"job": first.id, "prompt": "better", "size": "32×48", "frames": "5", "seed": "7"}
    for field, value, said in (
        ("prompt", " ", "Write a prompt"),
        ("seed", "seven", "seed"),
        ("size", "wide", "height"),
        ("frames", "six", "frames"),
    ):
        assert told(edit(engine, {**sent, field: value})).startswith(said)
    assert engine.jobs.get(first.id).request.prompt == "a"
    assert edit(engine, sent) is None
    kept = engine.jobs.get(first.id)
    assert (kept.request.prompt, kept.seed) == ("better", 7)
    assert [job.id for job in engine.jobs.waiting()] == [first.id, second.id]
    assert edit(engine, {**sent, "seed": ""}) is None, "an empty seed is drawn"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        [],
        "up",
        {},
        {"do": "up"},
        {"do": "up", "job": "1"},
        {"do": "up", "job": True},
        {"do": "up", "job": 99},
        {"do": ["up"], "job": 1},
        {"do": "drop table", "job": 1},
        {"do": "up", "job": 10**30},
        {"do": {"a": 1}, "job": 1},
    ],
)
def test_whatever_a_browser_sends_is_answered_with_a_sentence(
    engine: Engine, ask: Ask, asked: object
) -> None:
    engine.jobs.add(ask("a"))
    assert told(act(engine, asked)).endswith(".")
    assert titles(engine) == ["a"]


@pytest.mark.starts
def test_the_queue_outlives_the_program(engine: Engine, ask: Ask) -> None:
    engine.jobs.add_all([ask("a"), ask("b")])
    act(engine, {"do": "up", "job": engine.jobs.waiting()[1].id})
    store = Store(Home.find().database)
    again = Engine(Home.find(), engine.presets, type(engine.jobs)(store))
    try:
        assert titles(again) == ["b", "a"]
        again.start()
        for job in again.jobs.waiting():
            assert finish(again, job).state is State.DONE
    finally:
        again.close()
        store.close()
    assert len(list(Path(Home.find().clips).glob("*.mp4"))) == 2


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "10 s"), (44, "40 s"), (54.9, "50 s"), (56, "1 min"), (100, "2 min"), (5000, "1.4 h")],
)
def test_a_far_guess_is_rough(count: float, said: str) -> None:
    assert wording.say(wording.roughly(count), "en") == said
