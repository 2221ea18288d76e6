"""A process of its own in which the head calls the stations: Ray ends a process whose cluster it
has lost, and that mustn't be the page's.

Over its pipe come ``(number, station, method, values, seconds)``, and go back ``(number, answer)``,
None where there was none; ``(MET, station)`` and ``(LEFT, station)`` tell who comes and goes.
"""

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.joined.cluster.node import connect
from engine.joined.link import CALL_SECONDS, silent
from engine.process.loops import Loop

log = logging.getLogger("headroom.bridge")

STATION = "station-"  # how the actors of machines are called
UP, MET, LEFT = -1, -2, -3
LOOK_SECONDS = 0.5
CALLS = 64  # under way at a time; each machine has one that waits for news


def main(pipe: Connection, address: str, own: str, token_file: str) -> None:
    connect(address, own, Path(token_file))
    bridge = _Bridge(pipe)
    bridge.tell(UP, None)
    bridge.run()
    os._exit(0)  # Ray's own end asks the cluster, which may be gone


class _Bridge:
    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._sending = pipe, threading.Lock()
        self._stations: dict[str, Any] = {}
        self._calls = ThreadPoolExecutor(CALLS, thread_name_prefix="call")

    def run(self) -> None:
        threading.Thread(target=self._look_around, name="members", daemon=True).start()
        while True:
            try:
                order = self._pipe.recv()
            except (EOFError, OSError):
                return
            self._calls.submit(self._call, *order)

    def tell(self, number: int, told: Any) -> None:
        with self._sending, contextlib.suppress(OSError):
            self._pipe.send((number, told))

    def _look_around(self) -> None:
        import ray

        loop = Loop("cluster")
        while True:
            with loop.turn():
                found = {name for name in ray.util.list_named_actors() if name.startswith(STATION)}
                for name in found - self._stations.keys():
                    with contextlib.suppress(ValueError):  # it has left again
                        self._stations[name] = ray.get_actor(name)
                        self.tell(MET, name)
                for name in self._stations.keys() - found:
                    del self._stations[name]
                    self.tell(LEFT, name)
            time.sleep(LOOK_SECONDS + loop.pause)

    def _call(
        self, number: int, station: str, method: str, values: tuple[Any, ...], seconds: float
    ) -> None:
        import ray

        try:
            reference = self._stations[station].answer.remote(method, *values)
            self.tell(number, ray.get(reference, timeout=seconds))
        except Exception as error:  # of many kinds: its death, the network's, no time
            log.info("%s of %s: %s", method, station, type(error).__name__)
            self.tell(number, None)


class Bridge:
    """The process, from outside. ``close`` ends it; so does the end of this one.

    Args:
        address, own: of the head's Ray, and of this machine.
    """

    def __init__(self, address: str, own: str, token_file: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=main, args=(theirs, address, own, str(token_file)), name="bridge", daemon=True
        )
        self._process.start()
        theirs.close()
        self._sending, self._waiting = threading.Lock(), dict[int, "_Answer"]()
        self._number = 0

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def next(self, seconds: float) -> tuple[int, Any] | None:
        """Who has come or gone; None where nothing happened in that time. Answers are handed to
        whoever waits for them.

        Raises:
            EOFError, OSError: the process has ended.
        """
        until = time.monotonic() + seconds
        while self._pipe.poll(max(0.0, until - time.monotonic())):
            number, told = self._pipe.recv()
            if number < 0:
                return number, told
            with self._sending:
                answer = self._waiting.pop(number, None)
            if answer is not None:
                answer.set(told)
        return None

    def ask(
        self, station: str, method: str, values: tuple[Any, ...], seconds: float
    ) -> dict[str, Any]:
        """As ``Link.ask``."""
        answer = _Answer()
        with self._sending:
            self._number += 1
            self._waiting[self._number] = answer
            try:
                self._pipe.send((self._number, station, method, values, seconds))
            except OSError as error:
                raise silent(station) from error
        if not answer.there.wait(seconds + 1.0) or answer.value is None:
            raise silent(station)
        return answer.value

    def close(self) -> None:
        """Whoever waits for an answer gets none."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._process.kill()
        self._process.join(5.0)
        with self._sending:
            for answer in self._waiting.values():
                answer.set(None)
            self._waiting.clear()


class _Answer:
    def __init__(self) -> None:
        self.there, self.value = threading.Event(), None

    def set(self, value: Any) -> None:
        self.value = value
        self.there.set()


class RayLink:
    """A ``Link`` to the station of that name."""

    def __init__(self, bridge: Bridge, station: str) -> None:
        self._bridge, self._station, self.closed = bridge, station, False

    def ask(self, method: str, *values: Any, seconds: float = CALL_SECONDS) -> dict[str, Any]:
        if self.closed:
            raise silent(self._station)
        return self._bridge.ask(self._station, method, values, seconds)

    def close(self) -> None:
        self.closed = True
