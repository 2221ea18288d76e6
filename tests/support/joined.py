"""Machines in one process, each on a folder of its own: a head, and stations on lines that can be
cut."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.joined.link import CALL_SECONDS, silent
from engine.joined.machines import Machines
from engine.joined.station import Station
from engine.presets import Presets, load_presets
from engine.store import Store
from tests.conftest import Ask, wait_until

PLAIN = (type(None), bool, int, float, str, bytes)


def plainly(value: Any) -> Any:
    """``value``, which crosses between machines: nothing in it may need a class of ours."""
    if type(value) is dict:
        assert all(type(key) is str for key in value), value
        return {key: plainly(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return [plainly(one) for one in value]
    assert type(value) in PLAIN, f"{type(value)} crosses between machines: {value!r}"
    return value


class Line:
    """A ``Link`` to ``station``. ``cut``: nothing comes through, either way. ``asked``: which
    methods were called."""

    def __init__(self, station: Station) -> None:
        self.station, self.cut, self.asked = station, threading.Event(), list[str]()

    def ask(self, method: str, *values: Any, seconds: float = CALL_SECONDS) -> dict[str, Any]:
        self.asked.append(method)
        if self.cut.is_set():
            raise silent("other")
        answer: dict[str, Any] = plainly(self.station.answer(method, *plainly(values)))
        if self.cut.is_set():  # the answer is lost
            raise silent("other")
        return answer

    def close(self) -> None:
        pass


@contextmanager
def engine_in(root: Path, presets: Presets | None = None, **how: Any) -> Iterator[Engine]:
    """An engine on a folder of its own; not started."""
    home = Home(root)
    home.create()
    store = Store(home.database)
    engine = Engine(home, presets or load_presets(), Jobs(store), **how)
    try:
        yield engine
    finally:
        engine.close()
        store.close()


@contextmanager
def station_in(root: Path, presets: Presets | None = None, **how: Any) -> Iterator[Station]:
    """A machine that works for others."""
    with engine_in(root, presets, **how) as engine:
        station = Station(engine)
        station.start()
        try:
            yield station
        finally:
            station.close()


@contextmanager
def machines_of(engine: Engine) -> Iterator[Machines]:
    machines = Machines(engine)
    try:
        yield machines
    finally:
        machines.close()


# ---- what tests look at ----------------------------------------------------------------------


def far(machines: Machines) -> str:
    """The name of the first lane of the machine that joined first."""
    return machines.all[0].lanes[0].name


def there(station: Station) -> Engine:
    return station._engine


def made_there(station: Station) -> int:
    """How many clips the station has begun."""
    return sum(job.attempts for job in there(station).jobs.recent())


def running(head: Engine, job: Job) -> Callable[[], bool]:
    """Whether it is being made, as far as the head knows."""

    def seen() -> bool:
        progress = head.progress(head.jobs.get(job.id))
        return progress is not None and progress.step > 1

    return seen


def busy(head: Engine, ask: Ask) -> Job:
    """A job that keeps the head's own lane."""
    job = head.submit(ask("steps=400 step_seconds=0.1"), lane="local")
    wait_until(running(head, job), "the head's own lane to be busy")
    return job


def is_waiting(head: Engine, job: Job) -> Callable[[], bool]:
    return lambda: head.jobs.get(job.id).state is State.QUEUED
