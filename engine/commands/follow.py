"""A job's way on the terminal: worked on alone, told line by line, and cancelled with its end:
by Ctrl-C, or when nobody is left to hear of the clip."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from engine.engine import Engine
from engine.jobs import Job
from engine.process import terminal
from engine.process.console import say
from engine.worker.status import EngineState, Status


def follow(engine: Engine, submit: Callable[[], Job]) -> Job:
    """Work on the job of ``submit`` alone until its end, whichever process does it; progress goes
    to stderr."""
    with _noticed() as ended:
        job = submit()
        engine.record()
        engine.start(only=job.id)
        return _watch(engine, job, ended)


@contextmanager
def _noticed() -> Iterator[Event]:
    """Ctrl-C, a polite kill and the terminal's end are set down in an event, from before there is a
    job, instead of leaving one that the next start would make."""
    ended = Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in terminal.end_signals()}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(engine: Engine, job: Job, ended: Event) -> Job:
    told: str | None = None
    cancelled, faults = False, ""
    if engine.is_paused():
        say("Headroom is paused: this waits until `resume`, in another terminal or on the page.")
    while not job.state.final:
        time.sleep(0.05)
        if not cancelled and (ended.is_set() or terminal.reader_gone()):
            engine.cancel(job.id)
            cancelled = True
        if (now := str(engine.faults.text())) and now != faults:
            say(now)
            faults = now
        line = _progress_line(engine.status_of(job), job)
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
        return "Another Headroom is running; it will make this clip."
    return f"loading {status.model}" if status.state is EngineState.LOADING else None
