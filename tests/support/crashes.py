"""Rounds of crashes: 50 jobs while the engine's two processes are killed at random moments.

``python -m tests.support.crashes [ROUNDS]`` prints what it counted; test_crashes.py runs it in CI.
The process that holds the queue is the page's without its page, which would take seconds to start.
In every second round it has a GPU, where the next clip begins while the last one is written.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.home import PROJECT, Home
from engine.jobs import Job, Jobs, State
from engine.library import mp4
from engine.library.library import Library
from engine.presets import load_presets
from engine.request import ClipRequest
from engine.store import Store
from tests.conftest import TESTS
from tests.support import two_cards

ROUNDS, JOBS, PORTIONS = 20, 50, 5
KILLS = 8  # in each round, and at least one of either process
LONGEST = 240.0  # seconds for a round; far more than any needs
BEGUN = "begun while the clip before is written"
KINDS = ("engine", "engine on a GPU")
PROMPT = "steps=2 step_seconds=0.01 clip {}"


@dataclass
class Round:
    """What a round left behind; ``wrong`` has a sentence for each broken promise."""

    number: int
    killed: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    early: int = 0  # clips that were begun while the one before was written
    clips: int = 0
    wrong: list[str] = field(default_factory=list)


class Rig:
    """The engine's process, started anew whenever it was killed, and its database."""

    def __init__(self, home: Home, kind: str) -> None:
        self.home, self.store, self._kind = home, Store(home.database), kind
        self.jobs, self.library = Jobs(self.store), Library(home, self.store)
        self.final: dict[int, State] = {}
        self.left: set[str] = set()
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HEADROOM_HOME": str(self.home.root)}
        with (self.home.logs / "rig.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.crashes", self._kind],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def worker(self) -> psutil.Process | None:
        """The child that makes clips; multiprocessing has others."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    return child
        return None

    def kill(self, which: str) -> bool:
        """Whether there was such a process; the engine's is started again."""
        if which == "worker":
            deadline = time.monotonic() + 30
            while (worker := self.worker()) is None and time.monotonic() < deadline:
                time.sleep(0.02)
            if worker is None:
                return False
            with suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGKILL)
            return True
        self.process.kill()
        self.process.wait()
        self.process = self._start()
        return True

    def look(self) -> list[Job]:
        """Every job; one that leaves a final state is told."""
        numbers = [row["id"] for row in self.store.rows("select id from jobs order by id")]
        found = [self.jobs.get(number) for number in numbers]
        for job in found:
            before = self.final.get(job.id)
            if before is not None and before is not job.state:
                self.left.add(f"job {job.id} went from {before} to {job.state}")
            if job.state.final:
                self.final[job.id] = job.state
        return found

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=120)


@contextmanager
def rig(kind: str) -> Iterator[Rig]:
    with TemporaryDirectory(prefix="headroom crashes ") as folder:
        home = Home(Path(folder))
        home.create()
        made = Rig(home, kind)
        try:
            yield made
        finally:
            made.process.kill()
            made.process.wait()
            made.store.close()


def play(number: int) -> Round:
    """One round; the same number kills at the same distances of time."""
    chance, told = random.Random(number), Round(number)
    with rig(KINDS[number % len(KINDS)]) as engine:
        acknowledged = _with_kills(engine, chance, told)
        deadline = time.monotonic() + LONGEST
        while not all(job.state.final for job in engine.look()):
            if time.monotonic() > deadline:
                told.wrong.append(f"not all jobs ended in {LONGEST:.0f} s")
                break
            time.sleep(0.05)
        engine.end()
        _judge(engine, acknowledged, told)
    return told


def _with_kills(engine: Rig, chance: random.Random, told: Round) -> list[int]:
    """Queue all jobs in portions while processes are killed; returns the acknowledged ones."""
    presets = load_presets()
    victims = ["worker", "engine", *chance.choices(["worker", "engine"], k=KILLS - 2)]
    chance.shuffle(victims)
    acknowledged: list[int] = []
    for portion in range(max(PORTIONS, KILLS)):
        if portion < PORTIONS:
            first = portion * JOBS // PORTIONS
            requests = [
                ClipRequest.check({"prompt": PROMPT.format(n), "model": "scripted"}, presets)
                for n in range(first, first + JOBS // PORTIONS)
            ]
            acknowledged += [job.id for job in engine.jobs.add_all(requests)]
        if portion < KILLS:
            # A process that only starts has nothing to lose: wait until there is work.
            deadline = time.monotonic() + 30
            while engine.jobs.running() is None and time.monotonic() < deadline:
                engine.look()
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.5))
            if engine.kill(victims[portion]):
                told.killed[victims[portion]] += 1
    return acknowledged


def _judge(engine: Rig, acknowledged: list[int], told: Round) -> None:
    """Hold what is left against what was promised."""
    jobs = engine.look()
    told.wrong += sorted(engine.left)
    told.states.update(job.state.value for job in jobs)
    told.retried = sum(job.attempts > 1 for job in jobs)
    if sorted(acknowledged) != [job.id for job in jobs]:
        told.wrong.append("the jobs aren't those that were acknowledged")
    told.early = (engine.home.logs / "worker.log").read_text().count(BEGUN)
    rows = engine.library.newest(10 * JOBS)
    told.clips = len(rows)
    done = {job.id for job in jobs if job.state is State.DONE}
    if sorted(done) != sorted(clip.job or 0 for clip in rows):
        told.wrong.append("done jobs and rows of clips differ")
    files = {path.name for path in engine.home.clips.iterdir() if path.suffix == ".mp4"}
    if files != {clip.file for clip in rows}:
        told.wrong.append(f"files and rows differ: {files ^ {clip.file for clip in rows}}")
    for clip in rows:
        if mp4.read_receipt(engine.home.clips / clip.file) != clip.receipt:
            told.wrong.append(f"{clip.file} has another receipt than its row")
    told.wrong += [
        f"job {job.id} is {job.state} without a reason"
        for job in jobs
        if job.state is not State.DONE and not job.note
    ]
    if engine.store.rows("pragma integrity_check")[0][0] != "ok":
        told.wrong.append("the database is damaged")


def rounds(count: int, first: int = 0) -> list[Round]:
    """Two at a time: most of a round is waiting for processes to start."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(play, range(first, first + count)))


def _engine(kind: str) -> None:
    """The process that is killed: the queue's owner, until its standard input is closed."""
    with _opened(kind) as engine:
        engine.start()
        sys.stdin.read()


@contextmanager
def _opened(kind: str) -> Iterator[Engine]:
    if kind == KINDS[0]:
        with open_engine() as engine:
            yield engine
        return
    with pytest.MonkeyPatch.context() as patch:
        two_cards.install(two_cards.Machine(), patch, two_cards.LARGE)
        store = Store(Home.find().database)
        engine = two_cards.engine_on(load_presets(), Jobs(store))
        yield engine
        engine.close()
        store.close()


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in KINDS:
        _engine(arguments[0])
        return 0
    os.environ["HEADROOM_PRESETS"] = str(TESTS / "fixtures/presets")
    began = time.monotonic()
    played = rounds(int(arguments[0]) if arguments else ROUNDS)
    killed: Counter[str] = sum((r.killed for r in played), Counter())
    states: Counter[str] = sum((r.states for r in played), Counter())
    told = {
        "rounds": len(played),
        "jobs": sum(states.values()),
        "killed": dict(killed),
        "ended": dict(states),
        "tried twice": sum(r.retried for r in played),
        "begun early": sum(r.early for r in played),
        "clips": sum(r.clips for r in played),
        "wrong": [f"round {r.number}: {text}" for r in played for text in r.wrong],
        "seconds": round(time.monotonic() - began),
    }
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 1 if told["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
