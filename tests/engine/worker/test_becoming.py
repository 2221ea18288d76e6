"""A draft and its model have the same files: the worker goes from one to the other as it is."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.jobs import State
from engine.plan.choice import Choice, Plan
from engine.presets import Presets, load_presets
from engine.worker.status import EngineState
from tests.conftest import Ask, finish, wait_until

pytestmark = pytest.mark.starts

DRAFT = "scripted-draft"


@pytest.fixture
def presets() -> Presets:
    known = load_presets()
    own = {"id": DRAFT, "name": "Scripted (draft)", "draft_of": "scripted"}
    draft = known.models["scripted"].model_copy(update=own)
    return replace(known, models={**known.models, DRAFT: draft})


def planned(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], dict[str, Choice]]
) -> None:
    """Every plan of a model gets the choices that ``change`` tells for it besides."""
    plan = engine.plans.plan

    def with_more(model: str) -> Plan:
        return {**plan(model), **change(model)}

    monkeypatch.setattr(engine.plans, "plan", with_more)


def test_there_and_back_in_one_process(engine: Engine, ask: Ask) -> None:
    engine.start()
    pids, told = set(), []
    for model in ("scripted", DRAFT, "scripted", DRAFT):
        job = finish(engine, engine.submit(ask(model=model)))
        assert job.state is State.DONE
        clip = engine.library.of_job(job.id)
        assert clip is not None
        told.append((clip.receipt["model"], clip.receipt["request"]["model"]))
        assert engine.status().model == model
        pids.add(engine.status().worker_pid)
    assert told == [(model, model) for model in ("scripted", DRAFT, "scripted", DRAFT)]
    assert len(pids) == 1


@pytest.mark.parametrize(
    ("name", "of_both", "of_the_draft", "stays"),
    [
        ("attention", "exact", "sparse", True),
        ("decode", "whole", "tiny", True),
        ("rope_chunk", 8192, 2048, False),
        ("offload", "lazy", "lazy", False),
        ("compile", "on", "on", False),
    ],
)
def test_only_what_can_be_switched_may_differ(
    engine: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    of_both: str | int,
    of_the_draft: str | int,
    stays: bool,
) -> None:
    def change(model: str) -> dict[str, Choice]:
        return {name: Choice(of_the_draft if model == DRAFT else of_both, "For the test.")}

    planned(engine, monkeypatch, change)
    engine.start()
    finish(engine, engine.submit(ask()))
    pid = engine.status().worker_pid
    job = finish(engine, engine.submit(ask(model=DRAFT)))
    clip = engine.library.of_job(job.id)
    assert clip is not None
    assert clip.receipt["plan"][name]["value"] == of_the_draft
    assert (engine.status().worker_pid == pid) is stays


def test_another_models_files_are_loaded_anew(engine: Engine, ask: Ask) -> None:
    engine.start()
    finish(engine, engine.submit(ask(model=DRAFT)))
    pid = engine.status().worker_pid
    assert finish(engine, engine.submit(ask(model="scripted-fp8"))).state is State.DONE
    assert engine.status().worker_pid != pid


def test_what_it_cant_become_is_told_and_the_model_works_on(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_BECOMES", "fail")
    engine.start()
    finish(engine, engine.submit(ask()))
    failed = finish(engine, engine.submit(ask(model=DRAFT)))
    assert (failed.state, str(failed.note)) == (
        State.FAILED,
        "The script says that it can't become that.",
    )
    assert finish(engine, engine.submit(ask())).state is State.DONE


def test_killed_while_it_becomes_another_it_is_replaced(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "1.5")
    engine.start()
    finish(engine, engine.submit(ask()))
    job, pid = engine.submit(ask(model=DRAFT)), engine.status().worker_pid
    assert pid is not None

    def becoming() -> bool:
        status = engine.status()
        return (status.state, status.model) == (EngineState.LOADING, DRAFT)

    wait_until(becoming, "the change")
    os.kill(pid, signal.SIGKILL)
    done = finish(engine, job)
    assert (done.state, done.attempts) == (State.DONE, 1), "it had not begun"
    assert engine.status().worker_pid != pid
    assert engine.status().model == DRAFT
