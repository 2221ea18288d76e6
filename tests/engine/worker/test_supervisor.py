"""The supervisor with a real spawned worker, driven by the scripted pipeline."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import psutil
import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs, State
from engine.library import mp4
from engine.presets import Presets
from engine.process.patience import WakingClock
from engine.store import Store
from engine.text import FOLDER, NOTHING, plain, rendered, tables
from engine.worker.messages import Occupied
from engine.worker.process import WorkerProcess
from engine.worker.slot import IDLE_DEATHS
from engine.worker.status import EngineState
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.engines import running_stage

pytestmark = pytest.mark.starts


def test_a_prompt_becomes_a_clip_with_its_receipt(started: Engine, ask: Ask) -> None:
    job = finish(started, started.submit(ask("a show", seed=3)))
    assert (job.state, job.note) == (State.DONE, NOTHING)
    clip = started.library.of_job(job.id)
    assert clip is not None
    path = started.home.clips / clip.file
    assert mp4.read_receipt(path) == clip.receipt
    assert mp4.read_frames(path).shape == (5, 32, 48, 3)
    assert started.posters.of(clip), "the worker drew it"
    assert not list(started.home.clips.glob(".partial*"))
    receipt = clip.receipt
    assert set(receipt["stages"]) == {"load", "encode", "denoise", "decode", "save"}
    assert set(receipt["peaks"]) == {"encode", "denoise", "decode"}
    assert receipt["seed"] == 3
    assert all(choice["reason"] for choice in receipt["plan"].values())


def test_the_worker_loads_once_and_stays(started: Engine, ask: Ask) -> None:
    first = finish(started, started.submit(ask(seed=1)))
    pid = started.status().worker_pid
    second = finish(started, started.submit(ask(seed=1)))
    assert started.status().worker_pid == pid
    one, two = (started.library.of_job(job.id) for job in (first, second))
    assert one is not None
    assert two is not None
    assert one.receipt["stages"]["load"] > 0
    assert two.receipt["stages"]["load"] == 0
    assert one.receipt["frames_sha256"] == two.receipt["frames_sha256"]


def test_progress_and_preview_arrive_while_it_runs(started: Engine, ask: Ask, gate: Gate) -> None:
    job = started.submit(ask(str(gate)))
    wait_until(lambda: started.status().preview, "a preview")
    status = started.status()
    assert status.state is EngineState.BUSY
    assert status.progress is not None
    assert (status.progress.stage, status.progress.steps) == ("denoise", 4)
    assert 0 < status.progress.fraction < 1
    assert started.jobs.get(job.id).state is State.RUNNING
    gate.open()
    finish(started, job)
    wait_until(lambda: started.status().preview is None, "the preview's end")


def test_cancel_stops_between_blocks_and_keeps_the_worker(started: Engine, ask: Ask) -> None:
    job = started.submit(ask("steps=100 step_seconds=0.2 blocks=4"))
    wait_until(lambda: running_stage(started) == "denoise", "denoising")
    pid = started.status().worker_pid
    assert started.cancel(job.id) is State.RUNNING
    assert finish(started, job, seconds=4).state is State.CANCELLED
    assert finish(started, started.submit(ask())).state is State.DONE
    assert started.status().worker_pid == pid
    assert not list(started.home.clips.glob(".partial*"))


def test_a_worker_that_ignores_cancel_is_killed(
    started: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.process.CANCEL_SECONDS", 0.5)
    job = started.submit(ask("fail=hang at=decode"))
    wait_until(lambda: running_stage(started) == "decode", "the hang")
    pid = started.status().worker_pid
    started.cancel(job.id)
    assert finish(started, job).state is State.CANCELLED
    wait_until(lambda: "didn't react to the cancel" in str(started.status().notice), "the notice")
    assert finish(started, started.submit(ask())).state is State.DONE
    assert started.status().worker_pid != pid
    wait_until(lambda: not started.status().notice, "its end, with a clip that was made well")


def test_a_worker_that_says_it_is_occupied_gets_its_time(
    started: Engine, ask: Ask, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killing it would cost everybody the load; a text encoder is read in seconds."""
    monkeypatch.setattr("engine.worker.process.CANCEL_SECONDS", 0.8)
    job = started.submit(ask("fail=busy at=encode busy=2"))
    wait_until(lambda: running_stage(started) == "encode", "the encoder")
    pid = started.status().worker_pid
    started.cancel(job.id)
    wait_until(lambda: started.status().notice, "a notice")
    assert str(started.status().notice) == "Cancel waits while the script is busy."
    assert finish(started, job).state is State.CANCELLED
    assert started.status().worker_pid == pid
    late = started.submit(ask(f"fail=busy at=encode busy=0 {gate}"))
    wait_until(lambda: running_stage(started) == "denoise", "the end of its excuse")
    started.cancel(late.id)
    assert finish(started, late).state is State.CANCELLED


def test_an_excuse_ends(ask: Ask, jobs: Jobs, presets: Presets) -> None:
    child, passes = watched_child(ask, jobs, presets)
    assert child.overdue() is None
    child.ask_to_cancel(1)
    passes(30)
    assert "didn't react to the cancel within 30 s" in str(child.overdue())
    child.excuse(Occupied(1, plain("reading"), 60))
    assert child.overdue() is None
    child.end_excuse()
    assert child.overdue() is None, "it gets its seconds from now on"
    passes(5.5)
    child.end_excuse()
    assert "didn't react" in str(child.overdue()), "an advance alone is no answer"
    child.hear()
    passes(61)
    child.excuse(Occupied(1, plain("reading"), 60))
    assert "hung for 61 s" in str(child.overdue())


def test_a_sleep_of_both_is_no_hang_and_uses_up_no_cancel(
    ask: Ask, jobs: Jobs, presets: Presets
) -> None:
    child, passes = watched_child(ask, jobs, presets)
    passes(59)
    passes(8 * 3600, look=8 * 3600)
    assert child.overdue() is None, "it has its last second yet"
    passes(1)
    assert "hung for" in str(child.overdue())
    child.hear()
    child.ask_to_cancel(1)
    child.excuse(Occupied(1, plain("reading"), 60))
    passes(3600, look=3600)
    assert child.overdue() is None
    child.end_excuse()
    passes(3600, look=3600)
    assert child.overdue() is None
    passes(5)
    assert "didn't react to the cancel" in str(child.overdue())


def watched_child(
    ask: Ask, jobs: Jobs, presets: Presets
) -> tuple[WorkerProcess, Callable[..., None]]:
    """A worker with a job on a scripted clock, and what lets seconds pass, a look every half."""
    now = [0.0]
    pipe = cast(Any, SimpleNamespace(send=lambda _: None))
    clock = WakingClock(clock=lambda: now[0])
    scripted = presets.models["scripted"]
    child = WorkerProcess(cast(Any, None), pipe, scripted, {}, {}, clock, ready=True)
    child.take(jobs.add(ask()))

    def passes(seconds: float, look: float = 0.5) -> None:
        for _ in range(round(seconds / look)):
            now[0] += look
            child.overdue()

    return child, passes


def test_a_broken_process_is_replaced_and_the_clip_tried_once_more(
    started: Engine, ask: Ask
) -> None:
    bad, good = started.submit(ask("fail=broken")), started.submit(ask("fine"))
    pid = started.status().worker_pid
    failed = finish(started, bad)
    assert (failed.state, failed.attempts) == (State.FAILED, 2)
    assert str(failed.note).startswith("The script's GPU is gone. This happened twice")
    assert str(failed.remedy) == "Change the script."
    assert finish(started, good).state is State.DONE
    assert started.status().worker_pid != pid


def test_a_broken_load_is_tried_again_but_not_for_ever(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "broken")
    engine.start()
    failed = finish(engine, engine.submit(ask()))
    assert failed.state is State.FAILED
    assert str(failed.note) == "The script's GPU is gone."
    log_lines = (engine.home.logs / "worker.log").read_text().count("loading scripted failed")
    assert log_lines == IDLE_DEATHS


def test_a_worker_that_dies_again_and_again_stays_off_until_it_is_needed(
    started: Engine, ask: Ask
) -> None:
    for death in range(1, IDLE_DEATHS + 1):
        wait_until(lambda: started.status().state is EngineState.READY, "loading")
        pid = started.status().worker_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(partial(_is_another, started, pid), f"death {death}")
    wait_until(lambda: "stays off" in str(started.status().notice), "the notice")
    assert started.status().state is EngineState.OFF
    assert f"{IDLE_DEATHS} times while it was idle" in str(started.status().notice)
    assert finish(started, started.submit(ask())).state is State.DONE


def _is_another(engine: Engine, pid: int) -> bool:
    return engine.status().worker_pid != pid


@pytest.mark.reliability("the worker killed in the middle of a clip")
def test_kill_9_is_told_tried_again_and_the_next_job_works(
    started: Engine, ask: Ask, gate: Gate
) -> None:
    job = started.submit(ask(str(gate)))
    wait_until(lambda: running_stage(started) == "denoise", "denoising")
    pid = started.status().worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: started.status().notice, "a notice")
    gate.open()
    assert "killed by signal 9" in str(started.status().notice)
    assert "while denoising" in str(started.status().notice)
    assert "being retried" in str(started.status().notice)
    done = finish(started, job)
    assert (done.state, done.attempts) == (State.DONE, 2)
    assert "killed by signal 9" in str(done.note)
    chinese = rendered(done.note, "zh", tables(FOLDER))
    assert "信号 9 终止（通常是系统因内存不足而终止）（去噪阶段）。正在重试一次。" in chinese
    assert finish(started, started.submit(ask())).state is State.DONE


def test_a_job_that_takes_the_worker_down_twice_is_given_up(started: Engine, ask: Ask) -> None:
    bad, good = started.submit(ask("fail=exit")), started.submit(ask("fine"))
    failed = finish(started, bad)
    assert (failed.state, failed.attempts) == (State.FAILED, 2)
    assert "exit code 9" in str(failed.note)
    assert failed.remedy
    assert finish(started, good).state is State.DONE


@pytest.mark.reliability("an error in any stage: encode, denoise, decode, save")
@pytest.mark.parametrize("stage", ["encode", "denoise:1", "decode", "decode:0", "decode:1"])
def test_an_exception_fails_the_job_and_keeps_the_worker(
    started: Engine, ask: Ask, stage: str
) -> None:
    """Also while its first frames are being encoded: nothing is left of them."""
    failed = finish(started, started.submit(ask(f"fail=error at={stage}")))
    assert list(started.home.clips.iterdir()) == []
    pid = started.status().worker_pid
    assert failed.state is State.FAILED
    assert "ValueError: scripted failure" in str(failed.note)
    assert finish(started, started.submit(ask())).state is State.DONE
    assert started.status().worker_pid == pid


def test_after_out_of_memory_the_worker_is_replaced(started: Engine, ask: Ask) -> None:
    wait_until(lambda: started.status().state is EngineState.READY, "loading")
    pid = started.status().worker_pid
    failed = finish(started, started.submit(ask("fail=oom at=decode")))
    assert failed.state is State.FAILED
    assert "ran out of memory" in str(failed.note)
    assert "smaller size" in str(failed.remedy)
    smaller = ask(height=16)  # the guard has closed the size that failed
    assert finish(started, started.submit(smaller)).state is State.DONE
    assert started.status().worker_pid != pid


def test_a_cancel_between_two_frames_leaves_nothing(started: Engine, ask: Ask) -> None:
    job = started.submit(ask("fail=busy at=decode:0 busy=2.5"))

    def decodes() -> bool:
        progress = started.status().progress
        return progress is not None and progress.stage == "decode"

    wait_until(decodes, "its first frames")
    started.cancel(job.id)
    assert finish(started, job).state is State.CANCELLED
    assert list(started.home.clips.iterdir()) == []
    assert finish(started, started.submit(ask())).state is State.DONE


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_model_that_cant_load_fails_its_jobs_not_the_program(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", how)
    engine.start()
    failed = finish(engine, engine.submit(ask()))
    assert failed.state is State.FAILED
    assert failed.remedy
    assert engine.status().state is EngineState.FAILED
    monkeypatch.delenv("HEADROOM_SCRIPTED_LOAD")
    assert finish(engine, engine.submit(ask())).state is State.DONE


def test_an_idle_worker_that_dies_is_replaced_and_told(started: Engine) -> None:
    wait_until(lambda: started.status().state is EngineState.READY, "loading")
    pid = started.status().worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: started.status().state is EngineState.READY and started.status().worker_pid != pid,
        "a fresh worker",
    )
    assert "The engine was restarted." in str(started.status().notice)


def test_closing_ends_the_worker_and_keeps_the_running_job(
    presets: Presets, jobs: Jobs, ask: Ask
) -> None:
    first = Engine(Home.find(), presets, jobs)
    first.start(warm="scripted")
    job = first.submit(ask("steps=50 step_seconds=0.2"))
    wait_until(lambda: running_stage(first) == "denoise", "denoising")
    pid = first.status().worker_pid
    first.close()
    assert not psutil.pid_exists(pid or 0)
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == (State.QUEUED, 0)
    assert not list(first.home.clips.glob(".partial*"))


def test_what_a_crashed_program_left_behind_is_taken_up(engine: Engine, ask: Ask) -> None:
    job = engine.jobs.add(ask())
    engine.jobs.claim()  # as a program that was killed in the middle leaves it
    (engine.home.clips / ".partial-1.mp4").write_bytes(b"half")
    engine.start()
    assert finish(engine, job).state is State.DONE
    assert not list(engine.home.clips.glob(".partial*"))


def test_a_second_program_leaves_the_queue_to_the_first(
    started: Engine, presets: Presets, ask: Ask
) -> None:
    wait_until(lambda: started.status().state is EngineState.READY, "the first to be the first")
    store = Store(started.home.database)
    second = Engine(started.home, presets, Jobs(store))
    second.start(warm="scripted")
    wait_until(lambda: second.status().state is EngineState.ELSEWHERE, "the second to stand aside")
    assert finish(second, second.submit(ask())).state is State.DONE
    assert second.status().worker_pid is None
    started.close()
    wait_until(lambda: second.status().state is EngineState.READY, "the second to take over")
    second.close()
    store.close()


def test_a_lost_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """The whole program is killed the hard way; its worker must notice and go."""
    import subprocess
    import sys

    code = (
        "import sys, time\n"
        "from engine.commands.opened import open_engine\n"
        "if __name__ == '__main__':\n"
        "    with open_engine() as engine:\n"
        "        engine.start(warm='scripted')\n"
        "        while engine.status().state != 'ready': time.sleep(0.05)\n"
        "        sys.stdout.write(f'{engine.status().worker_pid}\\n'); sys.stdout.flush()\n"
        "        time.sleep(60)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(code)
    root = Path(__file__).resolve().parents[3]
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert program.stdout is not None
    worker = int(program.stdout.readline())
    assert psutil.pid_exists(worker)
    program.kill()
    program.wait()
    wait_until(lambda: not psutil.pid_exists(worker), "the worker's end", seconds=10)


def test_seeds_make_different_frames(started: Engine, ask: Ask) -> None:
    made = [finish(started, started.submit(ask(seed=s))) for s in (1, 2)]
    files = [started.library.of_job(job.id) for job in made]
    frames = [mp4.read_frames(started.home.clips / c.file) for c in files if c]
    assert not np.array_equal(frames[0], frames[1])


def test_a_program_that_forgets_to_close_still_ends(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "program.py"
    script.write_text(
        "import time\n"
        "from engine.commands.opened import open_engine\n"
        "if __name__ == '__main__':\n"
        "    manager = open_engine()\n"
        "    engine = manager.__enter__()\n"
        "    engine.start(warm='scripted')\n"
        "    while engine.status().state != 'ready': time.sleep(0.05)\n"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, str(script)], env=environment, timeout=60)
    assert done.returncode == 0
