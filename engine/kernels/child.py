"""The process that times kernels, and what happens when one of them takes it along."""

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.errors import HeadroomError
from engine.home import PROJECT
from engine.kernels.tasks import Task
from engine.plan.kernel_rows import KernelRow
from engine.process.patience import WakingClock
from engine.text import Text, as_text

log = logging.getLogger("headroom.kernels")

MODULE = "engine.pipelines.kernel_test.main"
IMPORTS = 180.0  # seconds until the first task: torch and LightX2V from a slow disk
SILENCE = 60.0  # a kernel that hasn't ended by then hangs; the first call compiles and tunes
KERNELS = 18.0  # of kernels in all, beside the imports; what is left then isn't tried


class CantTest(HeadroomError):
    """The kernel test can't be run here."""


def run(
    tasks: list[Task],
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    told: Callable[[KernelRow], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> tuple[KernelRow, ...]:
    """A row for each of ``tasks`` that there was time for.

    Args:
        given: ``device`` and ``family``, and what that asks for.
        environment: set before the process imports torch.
        told: hears each row as it comes.
        stop: ends it early.

    Raises:
        CantTest: the process doesn't begin with any.
    """
    rows: list[KernelRow] = []
    left, spent = list(tasks), 0.0
    stop = stop or threading.Event()
    while left and spent < KERNELS and not stop.is_set():
        child = _Child(left, given, environment, spent, stop)
        for row in child.rows():
            rows.append(row)
            told(row)
        if child.done == 0 and not stop.is_set():
            raise CantTest(child.problem, Text("kernels.run_doctor"))
        left, spent = left[child.done :], child.spent
    return tuple(rows)


class _Child:
    """One process. ``done``: how many of its tasks have a row; ``spent``: seconds of kernels."""

    def __init__(
        self,
        tasks: list[Task],
        given: Mapping[str, Any],
        environment: Mapping[str, str],
        spent: float,
        stop: threading.Event,
    ) -> None:
        self._stop = stop
        self._tasks, self._given, self._environment = tasks, given, environment
        self.done, self.spent = 0, spent
        self.problem: Text = Text("kernels.no_answer")

    def rows(self) -> Iterator[KernelRow]:
        """As they come."""
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                cwd=PROJECT,
                env={**os.environ, **self._environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            self.problem = as_text(error.strerror or str(error))
            return
        try:
            yield from self._listen(process)
        finally:
            process.kill()
            process.wait()

    def _listen(self, process: "subprocess.Popen[str]") -> Iterator[KernelRow]:
        assert process.stdin is not None
        lines = _lines(process)
        asked = {**self._given, "tasks": [task.to_json() for task in self._tasks]}
        try:
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
        except OSError:  # it has ended already: its end is told below
            log.warning("the kernel test took no tasks")
        begun: int | None = None
        while True:
            clock = WakingClock()
            line = self._next(lines, clock, SILENCE if begun is not None else IMPORTS)
            if self._stop.is_set():
                return
            if begun is not None:
                self.spent += clock()
            if not line:
                if begun is not None:
                    yield self._lost(begun, process, hangs=line is None)
                return
            heard = json.loads(line)
            if "problem" in heard and "row" not in heard:
                self.problem = as_text(str(heard["problem"]))
                return
            if "begins" in heard:
                begun = int(heard["begins"])
                continue
            begun = None
            self.done = int(heard["row"]) + 1
            task = self._tasks[self.done - 1]
            yield task.row(heard["milliseconds"], heard["cosine"], str(heard["problem"]))
            if self.spent >= KERNELS:
                return

    def _next(self, lines: "queue.Queue[str]", clock: WakingClock, seconds: float) -> str | None:
        """The next line, "" at the end, None where none came in time."""
        while (passed := clock()) < seconds and not self._stop.is_set():
            try:
                return lines.get(timeout=min(0.5, seconds - passed))
            except queue.Empty:
                continue
        return None

    def _lost(self, begun: int, process: "subprocess.Popen[str]", hangs: bool) -> KernelRow:
        self.done = begun + 1
        kind, value = ("silent", round(SILENCE)) if hangs else ("ended", process.wait())
        why = f"{kind}:{value}"
        log.warning("%s: %s", self._tasks[begun].kernel, why)
        return self._tasks[begun].row(problem=why)


def _lines(process: "subprocess.Popen[str]") -> "queue.Queue[str]":
    """Its lines as they come, and an empty one at its end."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, name="kernel test", daemon=True).start()
    return lines
