"""Faults around a real page: Ctrl-C at any time, a locked and a damaged database."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from engine.home import PROJECT, Home
from tests.conftest import wait_until
from tests.support import served as real
from tests.support.databases import damage, locked_elsewhere, settle
from tests.support.served import SCRIPTED, Served

pytestmark = [pytest.mark.starts, pytest.mark.skipif(sys.platform == "win32", reason="signals")]
END_SECONDS = 5.0
ENDS = pytest.mark.reliability("Ctrl-C: starting, loading, denoising, saving, clients waiting")


def serve(log_file: Path) -> Served:
    return real.serve(log_file, program=SCRIPTED)


def in_time(seconds: float) -> bool:
    """Within the 5 s that are promised, on a machine that has nothing else to do."""
    return seconds < END_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def interrupt(process: "subprocess.Popen[bytes]") -> tuple[int, float, list[psutil.Process]]:
    """Ctrl-C as a terminal sends it; the exit code, the seconds, and who is still there."""
    family = children(process.pid)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(timeout=30)
    left: list[psutil.Process] = family
    while left and in_time(time.monotonic() - began):
        left = [child for child in left if alive(child)]
        time.sleep(0.02)
    return code, time.monotonic() - began, left


def alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def hear_ctrl_c() -> None:
    """A shell that runs the tests in the background has them, and what they start, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@ENDS
@pytest.mark.parametrize("seconds", [0.05, 0.6, 1.8])
def test_ctrl_c_while_it_starts(tmp_path: Path, seconds: float) -> None:
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, PROJECT / "app.py", "--no-browser"],
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=hear_ctrl_c,
        )
    time.sleep(seconds)
    code, took, left = interrupt(process)
    # Python itself says 1 where it is hit before it reads a line of ours.
    assert code in (0, 130, -signal.SIGINT, *([1] if seconds < 0.1 else []))
    assert in_time(took)
    assert not left


def in_background(work: Callable[[], object]) -> None:
    def run() -> None:
        with suppress(Exception):
            work()

    threading.Thread(target=run, daemon=True).start()


def generate(served: Served, prompt: str) -> Any:
    client = Client(served.url, verbose=False)
    return client.predict(prompt, model="scripted", api_name="/generate")


def look_on(served: Served) -> None:
    with httpx.stream("GET", f"{served.url}live", trust_env=False, timeout=60) as answer:
        for _ in answer.iter_lines():
            pass


def reach(served: Served, phase: str, clips: Path) -> None:
    """Bring the engine there, with an open page and a client that waits for its clip."""
    in_background(lambda: look_on(served))
    if phase == "loading":
        wait_until(lambda: served.state("engine_state") == "loading", "loading")
        return
    if phase == "saving":
        os.mkfifo(clips / ".partial-1.mp4")  # who writes there waits for a reader
    prompt = "steps=1" if phase == "saving" else "steps=200 step_seconds=0.3"
    in_background(lambda: generate(served, prompt))
    wanted = "Saving" if phase == "saving" else "Denoising"
    wait_until(lambda: str(served.state("stage")).startswith(wanted), phase)


@ENDS
@pytest.mark.parametrize("phase", ["loading", "denoising", "saving"])
def test_ctrl_c_ends_both_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    if phase == "loading":
        monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "60")
    served = serve(tmp_path / "serve.log")
    try:
        reach(served, phase, Home.find().clips)
        code, took, left = interrupt(served.process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(served.pid, signal.SIGKILL)
    assert code == 0
    assert in_time(took)
    assert not left
    assert "Traceback" not in served.log()
    with sqlite3.connect(Home.find().database) as db:
        states = [row[0] for row in db.execute("select state from jobs")]
    assert states == ([] if phase == "loading" else ["queued"])


def test_who_waits_is_told_that_the_job_goes_on(tmp_path: Path) -> None:
    served, told = serve(tmp_path / "serve.log"), []

    def wait() -> None:
        try:
            generate(served, "steps=200 step_seconds=0.3")
        except AppError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    wait_until(lambda: served.state("running"), "the job")
    served.end(signal.SIGINT)
    waiting.join(timeout=10)
    assert told == ["Headroom is closing. Job 1 continues at the next start."]


@pytest.mark.reliability("the database locked by another process")
def test_a_page_with_a_locked_database_answers_in_sentences(tmp_path: Path) -> None:
    served = serve(tmp_path / "serve.log")
    try:
        client = Client(served.url, verbose=False, download_files=str(tmp_path))
        with locked_elsewhere(Home.find().database):
            began = time.monotonic()
            with pytest.raises(AppError, match="Another program has locked"):
                client.predict("waits", model="scripted", wait=False, api_name="/generate")
            assert time.monotonic() - began < 20
            assert httpx.get(served.url, trust_env=False, timeout=5).status_code == 200
            assert client.predict(api_name="/library") == {"total": 0, "clips": []}
        assert generate(served, "steps=1")["state"] == "done"
    finally:
        served.end(signal.SIGTERM)
    assert "Traceback" not in served.log()


@pytest.mark.reliability("the database damaged, while running and at the start")
def test_a_page_on_a_damaged_database_says_so_and_has_the_clips_again(tmp_path: Path) -> None:
    home = Home.find()
    served = serve(tmp_path / "first.log")
    generate(served, "steps=1 a clip to keep")
    served.end(signal.SIGTERM)
    damage(home.database)
    settle(home)
    served = serve(tmp_path / "second.log")
    try:
        assert "The database was damaged. A copy is kept as headroom" in served.log()
        assert "The database was damaged" in str(served.state("notice"))
        client = Client(served.url, verbose=False, download_files=str(tmp_path))
        wait_until(lambda: client.predict(api_name="/library")["total"] == 1, "the clip")
        assert generate(served, "steps=1")["state"] == "done"
    finally:
        served.end(signal.SIGTERM)
    assert len(list(home.root.glob("*.damaged-*"))) == 1
