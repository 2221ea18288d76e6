"""A pause: nothing begins, what runs is finished or put back, and the worker's memory is free."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs, State
from engine.pause import Paused
from engine.presets import Presets
from engine.store import Store, StoreError
from engine.worker.process import WorkerProcess
from engine.worker.status import EngineState
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.engines import running_stage


def off(engine: Engine) -> bool:
    """Whether nothing holds the memory any more, and no job is out of the queue."""
    status = engine.status()
    gone = status.worker_pid is None and status.state is EngineState.OFF
    return gone and engine.jobs.running() is None


def denoising(engine: Engine, ask: Ask, prompt: object) -> int:
    """A job in its middle; returns its number."""
    job = engine.submit(ask(str(prompt)))
    wait_until(lambda: running_stage(engine) == "denoise", "denoising")
    return job.id


# ---- the setting ---------------------------------------------------------------------------


def test_a_paused_queue_gives_out_no_job(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    for paused in (Paused.AFTER, Paused.NOW):
        jobs.pause.set(paused)
        assert jobs.pause.get() is paused
        assert jobs.claim() is None
        assert jobs.claim(only=job.id) is None
    jobs.pause.set(Paused.NO)
    assert not jobs.pause.get()
    claimed = jobs.claim()
    assert claimed is not None
    assert claimed.id == job.id


def test_what_a_later_version_sets_is_a_pause(jobs: Jobs, engine: Engine, ask: Ask) -> None:
    jobs.add(ask())
    for value in ("until tomorrow", True, None, {"until": 5}):
        engine.settings.set("paused", value)
        assert jobs.pause.get() is Paused.AFTER
        assert jobs.claim() is None
    engine.resume()
    assert jobs.claim() is not None


def test_once_pause_has_returned_nothing_is_claimed(jobs: Jobs, ask: Ask) -> None:
    """Against a claimer in another thread with a connection of its own, as another process has."""
    tries, ended = [0], threading.Event()

    def claim() -> None:
        store = Store(Home.find().database)
        others = Jobs(store)
        while not ended.is_set():
            others.add(ask())
            others.claim()
            tries[0] += 1
        store.close()

    def begun() -> int:
        return int(jobs.store.rows("select count(*) from jobs where state = 'running'")[0][0])

    def more(count: Callable[[], int], than: int) -> bool:
        return count() > than

    thread = threading.Thread(target=claim)
    thread.start()
    try:
        for _ in range(5):
            wait_until(partial(more, begun, begun()), "a claim")
            jobs.pause.set(Paused.AFTER)
            at_pause = begun()
            wait_until(partial(more, lambda: tries[0], tries[0] + 5), "tries")
            assert begun() == at_pause
            jobs.pause.set(Paused.NO)
    finally:
        ended.set()
        thread.join()


# ---- a worker at work ----------------------------------------------------------------------


@pytest.mark.starts
def test_what_runs_is_finished_and_then_the_memory_is_free(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    first = denoising(started, ask, gate)
    second = started.submit(ask("then"))
    pid = started.status().worker_pid
    started.pause()
    assert started.is_paused()
    gate.open()
    assert finish(started, started.jobs.get(first)).state is State.DONE
    wait_until(lambda: off(started), "the worker's end")
    assert not psutil.pid_exists(pid or 0)
    third = started.submit(ask("queued all the same"))
    waiting = [job.id for job in started.jobs.waiting()]
    assert waiting == [second.id, third.id]
    started.resume()
    assert finish(started, third).state is State.DONE
    assert started.jobs.get(second.id).state is State.DONE


@pytest.mark.starts
def test_pausing_now_puts_what_runs_back_without_a_mark(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    job = denoising(started, ask, gate)
    later, pid = started.submit(ask("later")), started.status().worker_pid
    seed = started.jobs.get(job).seed
    started.pause(now=True)
    wait_until(lambda: off(started), "the worker's end", seconds=20)
    assert not psutil.pid_exists(pid or 0)
    back = started.jobs.get(job)
    assert (back.state, back.attempts, back.seed) == (State.QUEUED, 0, seed)
    assert [one.id for one in started.jobs.waiting()] == [job, later.id], "it is next"
    assert not list(started.home.clips.glob(".partial*"))
    assert not started.status().notice, "nothing went wrong"
    gate.open()
    started.resume()
    assert finish(started, back).state is State.DONE
    assert (started.jobs.get(job).attempts, started.jobs.get(job).seed) == (1, seed)


@pytest.mark.starts
def test_a_pause_that_lets_it_finish_can_be_made_one_that_doesnt(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    job = denoising(started, ask, gate)
    started.pause()
    assert started.jobs.get(job).state is State.RUNNING
    started.pause(now=True)
    wait_until(lambda: off(started), "the worker's end", seconds=20)
    assert started.jobs.get(job).state is State.QUEUED
    started.cancel(job)
    assert started.jobs.get(job).state is State.CANCELLED, "what waits can be cancelled meanwhile"


@pytest.mark.starts
def test_who_had_cancelled_what_runs_gets_it_cancelled(started: Engine, ask: Ask) -> None:
    job = denoising(started, ask, "fail=hang at=denoise:1")
    wait_until(lambda: (p := started.status().progress) and p.step == 1, "the hang")
    started.cancel(job)
    started.pause(now=True)
    assert finish(started, started.jobs.get(job)).state is State.CANCELLED
    wait_until(lambda: off(started), "the worker's end")


@pytest.mark.starts
def test_a_model_that_loads_is_let_go(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "100")
    engine.start()
    job = engine.submit(ask())
    wait_until(lambda: engine.status().state is EngineState.LOADING, "loading")
    engine.pause()
    wait_until(lambda: off(engine), "the worker's end", seconds=20)
    assert (engine.jobs.get(job.id).state, engine.jobs.get(job.id).attempts) == (State.QUEUED, 0)
    monkeypatch.delenv("HEADROOM_SCRIPTED_LOAD")
    engine.resume()
    assert finish(engine, job).state is State.DONE


@pytest.mark.starts
def test_nothing_is_loaded_for_who_types_meanwhile(started: Engine) -> None:
    wait_until(lambda: started.status().state is EngineState.READY, "loading")
    started.pause()
    wait_until(lambda: off(started), "the worker's end")
    assert not started.has_loaded
    turns = looks(started, "jobs.pause.get")
    started.expect("scripted")
    turns(3)
    assert off(started)
    started.resume()
    turns = looks(started, "jobs.cancel_strays")  # of the feeding
    turns(2)
    assert off(started), "what was typed for then is forgotten"
    started.expect("scripted")
    wait_until(lambda: started.status().state is EngineState.READY, "loading")


def looks(engine: Engine, what: str) -> Callable[[int], None]:
    """Waits until the supervisor's thread has called that so many times more."""
    owner = engine.jobs.pause if what == "jobs.pause.get" else engine.jobs
    name = what.rpartition(".")[2]
    asked, real = [0], getattr(owner, name)

    def counted(*values: Any) -> Any:
        asked[0] += threading.current_thread().name == "supervisor"
        return real(*values)

    setattr(owner, name, counted)
    return lambda times: wait_until(lambda: asked[0] >= times, f"{times} looks")


# ---- other processes and other starts ------------------------------------------------------


@pytest.mark.starts
def test_a_pause_outlives_the_program(
    started: Engine, presets: Presets, ask: Ask, gate: Gate
) -> None:
    job = denoising(started, ask, gate)
    started.pause(now=True)
    started.close()
    assert (started.jobs.get(job).state, started.jobs.get(job).attempts) == (State.QUEUED, 0)
    again = Engine(started.home, presets, started.jobs)
    again.start(warm="scripted")
    try:
        turns = looks(again, "jobs.pause.get")
        turns(3)
        assert again.is_paused()
        assert off(again), "what is loaded at each start isn't"
        assert again.jobs.get(job).state is State.QUEUED
        gate.open()
        again.resume()
        assert finish(again, again.jobs.get(job)).state is State.DONE
    finally:
        again.close()


@pytest.mark.starts
def test_the_process_that_has_the_queue_obeys_any_other(
    started: Engine, presets: Presets, ask: Ask, gate: Gate
) -> None:
    job = denoising(started, ask, gate)
    store = Store(started.home.database)
    second = Engine(started.home, presets, Jobs(store))
    second.start()
    try:
        wait_until(lambda: second.status().state is EngineState.ELSEWHERE, "the second")
        second.pause(now=True)
        wait_until(lambda: off(started), "the first one's worker's end", seconds=20)
        assert started.is_paused()
        started.close()
        wait_until(lambda: second.status().state is EngineState.OFF, "the second to take over")
        looks(second, "jobs.pause.get")(3)
        assert off(second)
        assert second.jobs.get(job).state is State.QUEUED
        second.cancel(job)
    finally:
        second.close()
        store.close()


# ---- races ---------------------------------------------------------------------------------


@pytest.mark.starts
def test_pausing_again_and_again_makes_every_clip_once(started: Engine, ask: Ask) -> None:
    jobs = started.submit_all([ask(f"step_seconds=0.1 clip {n}") for n in range(4)])
    for turn in range(6):
        wait_until(
            lambda: started.jobs.running() or not started.jobs.count_waiting(), "something to run"
        )
        started.pause(now=turn % 2 == 0)
        wait_until(lambda: off(started), "the worker's end")
        assert started.jobs.running() is None
        started.resume()
    ended = [finish(started, job) for job in jobs]
    assert [(job.state, job.attempts) for job in ended] == [(State.DONE, 1)] * 4
    assert len(list(started.home.clips.glob("*.mp4"))) == 4


@pytest.mark.starts
def test_pause_and_resume_at_once_lose_nothing(started: Engine, ask: Ask) -> None:
    """Faster than the supervisor looks: it may see the pause or not."""
    jobs = started.submit_all([ask(f"clip {n}") for n in range(3)])
    for turn in range(40):
        started.pause(now=turn % 2 == 0)
        started.resume()
    ended = [finish(started, job) for job in jobs]
    assert [(job.state, job.attempts) for job in ended] == [(State.DONE, 1)] * 3


@pytest.mark.starts
def test_a_worker_that_dies_while_paused_is_not_replaced(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    job = denoising(started, ask, gate)
    started.pause()
    pid = started.status().worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: off(started), "its end")
    wait_until(lambda: started.status().notice, "a notice")
    told = str(started.status().notice)
    assert told.endswith("Retrying once. The queue is paused, so the engine stays off.")
    looks(started, "jobs.pause.get")(3)
    assert off(started)
    assert (started.jobs.get(job).state, started.jobs.get(job).attempts) == (State.QUEUED, 1)
    gate.open()
    started.resume()
    assert finish(started, started.jobs.get(job)).state is State.DONE


@pytest.mark.starts
def test_memory_that_runs_out_while_paused_starts_no_worker(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    job = started.submit(ask(f"{gate} fail=oom at=decode"))
    wait_until(lambda: running_stage(started) == "denoise", "denoising")
    started.pause()
    gate.open()
    assert finish(started, job).state is State.FAILED
    wait_until(lambda: off(started), "its end")
    assert str(started.status().notice).endswith("so the engine stays off.")


@pytest.mark.starts
def test_a_database_that_refuses_gets_the_job_back_later(
    started: Engine, ask: Ask, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, real, refused = denoising(started, ask, gate), started.jobs.put_back, [0]

    def refuse(number: int) -> None:
        refused[0] += 1
        if refused[0] < 3:
            raise StoreError("The disk is full.", "Free some space.")
        real(number)

    monkeypatch.setattr(started.jobs, "put_back", refuse)
    started.pause(now=True)
    wait_until(lambda: started.jobs.get(job).state is State.QUEUED, "the job's return")
    assert (refused[0], started.jobs.get(job).attempts) == (3, 0)
    assert off(started)
    started.cancel(job)


@pytest.fixture
def held(engine: Engine, ask: Ask, presets: Presets) -> tuple[WorkerProcess, Connection]:
    """A worker with a job in the engine's slot, on a scripted process, and its end of the pipe."""
    ours, theirs = multiprocessing.Pipe()
    gone = {"is_alive": lambda: False, "join": lambda timeout=0: None, "kill": lambda: None}
    process = SimpleNamespace(pid=1, **gone)
    worker = WorkerProcess(cast(Any, process), ours, presets.models["scripted"], {}, {}, ready=True)
    engine.jobs.add(ask())
    job = engine.jobs.claim()
    assert job is not None
    worker.take(job)
    engine.lane.supervisor._slot.worker = worker
    return worker, theirs


def test_a_clip_that_was_finished_this_moment_is_kept(
    engine: Engine, held: tuple[WorkerProcess, Connection]
) -> None:
    """What the worker has said is read before it is ended: its last message may be the clip."""
    (worker, theirs), pausing = held, engine.lane.supervisor._pausing
    engine.pause(now=True)
    theirs.send("the clip is finished")
    assert pausing.holds()
    assert engine.lane.supervisor._slot.worker is worker
    worker.pipe.recv()
    assert pausing.holds()
    assert engine.lane.supervisor._slot.worker is None
    assert engine.jobs.waiting()[0].attempts == 0


def test_a_worker_that_is_gone_is_left_to_who_says_why(
    engine: Engine, held: tuple[WorkerProcess, Connection]
) -> None:
    (worker, theirs), pausing = held, engine.lane.supervisor._pausing
    theirs.close()
    engine.pause(now=True)
    assert pausing.holds()
    assert engine.lane.supervisor._slot.worker is worker
    assert engine.jobs.running() is not None
