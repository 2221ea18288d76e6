"""One lane a device: what is known by lane, and how lanes of one process share the queue."""

import threading
from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.presets import Presets
from engine.worker.queue_lock import QueueLock
from engine.worker.second_look import Refusal, Waits, second_look
from engine.worker.slot import LOCAL
from tests.conftest import Ask, Gate, finish, wait_until


def test_an_engine_has_one_lane_and_shows_it(engine: Engine) -> None:
    (lane,) = engine.lanes
    assert lane.name == LOCAL
    assert (engine.guard, engine.plans, engine.recorder) == (lane.guard, lane.plans, lane.recorder)
    assert engine.status() is lane.status


@pytest.mark.starts
def test_a_job_runs_in_its_lane(started: Engine, ask: Ask, gate: Gate) -> None:
    job = started.submit(ask(str(gate)))
    wait_until(lambda: started.lane.running(), "the job's begin")
    assert started.lane.running() == started.jobs.running() == started.jobs.running(LOCAL)
    assert started.jobs.running("another") is None
    started.cancel(job.id)
    assert finish(started, job).state.final
    assert started.lane.running() is None


def test_a_job_keeps_the_lane_that_it_was_claimed_in(jobs: Jobs, ask: Ask) -> None:
    first, second = jobs.add(ask()), jobs.add(ask())
    assert jobs.claim(first.id, "a") is not None
    assert jobs.claim(second.id, "b") is not None
    running = [jobs.running("a"), jobs.running("b")]
    assert [job.id for job in running if job] == [first.id, second.id]


def test_lanes_of_one_process_share_the_queue_and_the_first_recovers() -> None:
    home = Home.find()
    ours, others = QueueLock(home), QueueLock(home)
    assert ours.take()
    assert ours.first
    second: list[bool] = []
    thread = threading.Thread(target=lambda: second.extend([ours.take(), ours.first]))
    thread.start()
    thread.join()
    assert second == [True, False], "another lane has it too, and has nothing to recover"
    ours.recovered.set()
    ours.give_back()
    assert others.is_elsewhere(), "one lane is still at work"
    ours.give_back()
    assert not others.is_elsewhere()
    assert not ours.recovered.is_set(), "who takes it next looks again at what was left behind"


def test_the_second_look_tells_waiting_from_refusing(engine: Engine, ask: Ask) -> None:
    job = engine.jobs.add(ask())

    def look(presets: Presets) -> Refusal | Waits | None:
        return second_look(job, LOCAL, presets, engine.lane.guard, lambda _: False)

    assert look(engine.presets) is None
    models = {id: m for id, m in engine.presets.models.items() if id != "scripted"}
    refusal = look(replace(engine.presets, models=models))
    assert isinstance(refusal, Refusal)
    assert refusal.reason.id == "worker.no_such_model"
