"""``pause`` and ``resume`` as a script calls them, beside a page that runs and without one."""

import json
import subprocess
import sys
from typing import Any

import pytest

from engine.commands.main import main
from engine.engine import Engine
from engine.home import PROJECT, Home
from engine.jobs import Jobs, State
from engine.pause import Paused
from engine.store import Store
from engine.worker.queue_lock import QueueLock
from tests.conftest import Ask, wait_until
from tests.support.engines import running_stage


def told(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capfd.readouterr().out)
    return answer


def test_it_is_kept_where_every_process_finds_it(
    jobs: Jobs, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs.add_all([ask(), ask()])
    assert told(capfd, "pause") == {"paused": True, "running": None, "waiting": 2}
    assert jobs.pause.get() is Paused.AFTER
    assert told(capfd, "pause", "--now")["paused"] is True
    assert jobs.pause.get() is Paused.NOW
    assert told(capfd, "resume") == {"paused": False, "running": None, "waiting": 2}
    assert not jobs.pause.get()


def test_people_read_what_waits_and_what_becomes_of_what_runs(
    jobs: Jobs, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    def printed(*arguments: str) -> tuple[list[str], str]:
        assert main(list(arguments)) == 0
        out, err = capfd.readouterr()
        return out.splitlines(), err

    assert printed("pause")[0] == ["Paused; no clips wait. `resume` goes on."]
    jobs.add(ask())
    assert printed("pause")[0] == ["Paused; 1 clip waits. `resume` goes on."]
    out, err = printed("resume")
    assert out == ["The queue goes on; 1 clip waits."]
    assert err.startswith("No Headroom runs on this folder now")
    jobs.claim()
    jobs.add_all([ask(), ask()])
    page = QueueLock(Home.find())
    assert page.take()
    try:
        assert printed("pause")[0] == [
            "Paused; 2 clips wait. `resume` goes on.",
            "What runs is finished first.",
        ]
        assert printed("pause", "--now")[0][1] == "What runs goes back into the queue."
        assert printed("resume") == (["The queue goes on; 2 clips wait."], "")
    finally:
        page.give_back()


@pytest.mark.starts
def test_a_page_that_runs_obeys(
    engine: Engine, ask: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.start(warm="scripted")
    job = engine.submit(ask("steps=100 step_seconds=0.2"))
    wait_until(lambda: running_stage(engine) == "denoise", "denoising")
    assert told(capfd, "pause", "--now")["paused"] is True
    wait_until(lambda: engine.jobs.get(job.id).state is State.QUEUED, "the job's return")
    wait_until(lambda: engine.status().worker_pid is None, "the worker's end")
    assert told(capfd, "resume") == {"paused": False, "running": None, "waiting": 1}
    wait_until(lambda: running_stage(engine) == "denoise", "denoising again")
    engine.cancel(job.id)


@pytest.mark.starts
def test_generate_says_that_it_waits_and_braces_are_characters() -> None:
    assert main(["pause"]) == 0
    program = subprocess.Popen(
        [sys.executable, PROJECT / "app.py", "generate", "{red|blue}", "--model", "scripted"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    first = program.stderr.readline()
    assert first.startswith("Headroom is paused: this waits until `resume`")
    store = Store(Home.find().database)
    (job,) = Jobs(store).waiting()
    assert job.request.prompt == "{red|blue}"
    assert main(["resume"]) == 0
    program.communicate(timeout=120)
    assert program.returncode == 0
    assert Jobs(store).get(job.id).state is State.DONE
    store.close()
