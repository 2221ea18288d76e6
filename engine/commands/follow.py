"""A job's way on the terminal: worked on alone, told line by line, and cancelled by Ctrl-C."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.console import say
from engine.engine import Engine
from engine.jobs import Job
from engine.worker.status import EngineState, Status


def follow(engine: Engine, job: Job) -> Job:
    """Work on ``job`` alone until its end, whichever process does it; progress goes to stderr."""
    engine.recorder.start()
    engine.start(only=job.id)
    with _interruptible(engine, job.id):
        return _watch(engine, job)


@contextmanager
def _interruptible(engine: Engine, job: int) -> Iterator[None]:
    """Ctrl-C (and a polite kill) cancels the job instead of leaving it half done."""

    def cancel(_signal: int, _frame: FrameType | None) -> None:
        engine.cancel(job)

    before = {s: signal.signal(s, cancel) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(engine: Engine, job: Job) -> Job:
    told: str | None = None
    while not job.state.final:
        time.sleep(0.05)
        line = _progress_line(engine.status(), job)
        if line is not None and line != told:
            say(line)
            told = line
        job = engine.jobs.get(job.id)
    return job


def _progress_line(status: Status, job: Job) -> str | None:
    if status.progress is not None and status.progress.job == job.id:
        progress = status.progress
        step = f" step {min(progress.step + 1, progress.steps)} of {progress.steps}"
        where = f"{status.probing}: " if status.probing else ""
        return where + progress.stage + (step if progress.steps else "")
    if status.waiting_for:
        return f"Waiting: {status.waiting_for}"
    if status.state is EngineState.ELSEWHERE:
        return "Another Headroom process has the engine; it will make this clip."
    return f"loading {status.model}" if status.state is EngineState.LOADING else None
