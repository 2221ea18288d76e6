"""Deadlines count looks really taken: on a scripted clock, and with processes that are held."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.process.patience import WakingClock, run, waited, within
from tests.support.asleep import sleep_through

HELD = pytest.mark.skipif(sys.platform == "win32", reason="signals")


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_gap_counts_for_one_step_and_a_clock_that_goes_back_for_nothing() -> None:
    seconds = Clock()
    clock = WakingClock(2.0, seconds)
    assert clock() == 0
    seconds.now += 1.5
    assert clock() == 1.5
    seconds.now += 8 * 3600
    assert clock() == 3.5
    seconds.now -= 60
    assert clock() == 3.5
    seconds.now += 0.5
    assert clock() == 4.0
    seconds.now += 50
    assert clock(30.0) == 34.0, "a wait of 30 s was meant to be that long"


def test_waiting_ends_with_what_is_waited_for_or_with_its_seconds() -> None:
    turns: list[float] = []

    def third(seconds: float) -> bool:
        turns.append(seconds)
        return len(turns) == 3

    assert waited(third, 60.0)
    assert turns == [1.0, 1.0, 1.0]
    assert not waited(threading.Event().wait, 0.05, step=0.01)


def test_work_on_the_loop_is_cancelled_after_its_seconds() -> None:
    ended: list[str] = []

    async def work(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "done"

    assert asyncio.run(within(30.0, work(0.01))) == "done"
    with pytest.raises(TimeoutError):
        asyncio.run(within(0.05, work(60.0), step=0.01))
    assert ended == ["cancelled"]


@pytest.mark.starts
def test_a_command_gets_its_input_and_is_killed_after_its_seconds() -> None:
    echo = "import sys; print(sys.stdin.read().upper()); sys.stdout.flush(); print(1, flush=True)"
    done = run([sys.executable, "-c", echo], 60.0, b"a" * 200_000)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"A" * 200_000 + b"\n1\n", b"")
    slow = "import sys, time; print('so far', flush=True); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired) as ended:
        run([sys.executable, "-c", slow], 1.5, text=True)
    assert "so far" in str(ended.value.output)


@contextmanager
def late_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """``time.monotonic`` as the test says: an hour may pass between two looks."""
    clock = Clock()
    with monkeypatch.context() as patched:
        patched.setattr("engine.process.patience.time.monotonic", clock)
        yield clock


def test_an_hour_between_two_looks_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[float] = []
    with late_looks(monkeypatch) as clock:

        def slept(seconds: float) -> bool:
            turns.append(seconds)
            clock.now += 3600 if len(turns) == 1 else seconds
            return len(turns) == 4

        assert waited(slept, 10.0)


@HELD
@pytest.mark.starts
@pytest.mark.reliability("page and worker held for longer than a hang may last")
def test_a_clip_outlives_a_sleep_of_everything() -> None:
    """The limit is 2 s here and the sleep 4; tests/tools/asleep.py has the real ones."""
    told = sleep_through(4.0, silence=2.0)
    assert (told.code, told.state, told.attempts) == (0, "done", 1), told.said
    assert "hung" not in told.said


@HELD
@pytest.mark.starts
def test_a_worker_that_sleeps_alone_hangs() -> None:
    told = sleep_through(4.0, silence=2.0, page=False)
    assert (told.code, told.state, told.attempts) == (0, "done", 2), told.said
