"""A machine that joined, as the one with the queue sees it: listens to it, and says when it has
gone."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import HeadroomError
from engine.joined import wire
from engine.joined.link import CALL_SECONDS, Link, call, silent
from engine.joined.remote_lane import RemoteLane
from engine.joined.wire import Unheard
from engine.process import loops
from engine.process.loops import Loop
from engine.request import Size
from engine.text import Text, plain
from engine.worker.by_lane import ByLane

log = logging.getLogger("headroom.machines")

WATCH_SECONDS = 0.5  # the station answers sooner where something changes
REPORT_SECONDS = 2.0  # verdicts and durations
LOST_SECONDS = 10.0  # of silence, after which its jobs go back into the queue
CLOCK_SECONDS = 120.0  # apart, from where it is worth a remark


class Machine:
    """See the module's docstring. ``start`` and ``close`` frame its life; any thread may ask.

    Args:
        hello: what its station told of itself.
        name: what its lanes are called by; ``title`` is its owner's word for it.
        lost: called once, from the machine's thread, when it has gone.
        learnt: called when its verdicts are new.
    """

    def __init__(
        self,
        engine: ByLane,
        link: Link,
        hello: Mapping[str, Any],
        name: str,
        title: str,
        lost: Callable[["Machine", Text], None],
        learnt: Callable[[], None],
        tell: loops.Tell = loops.nobody,
    ) -> None:
        self.id, self.name, self.link = str(hello["id"]), name, link
        self.title, self.host = title, str(hello["name"])
        self.clock_off = float(hello["clock"]) - time.time()
        self.lanes: tuple[RemoteLane, ...] = ()
        self.left_out: list[str] = []
        self.gone = threading.Event()
        self._engine, self._lost, self._learnt = engine, lost, learnt
        self._loop = Loop("machine", tell)
        self.seen: Mapping[str, Any] = {}
        self.changed = threading.Condition()
        self._asked_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name=f"machine {name}", daemon=True)

    def start(self) -> None:
        """Hear what it has, so that its lanes are known when this returns.

        Raises:
            Unheard, Declined: it doesn't answer.
        """
        self._learn()
        self._watch(0.0)
        loops.start(self._thread)

    @property
    def called(self) -> str:
        """What people call it."""
        return self.title or self.name

    def close(self) -> None:
        self.gone.set()
        with self.changed:
            self.changed.notify_all()
        for lane in self.lanes:
            lane.nudge()
        self.link.close()

    def ask(self, method: str, *values: Any) -> Any:
        """As ``link.call``."""
        return call(self.link, method, *values, seconds=CALL_SECONDS)

    def errand(self, key: str) -> Mapping[str, Any] | None:
        """What it last told of the job of ``key``."""
        found: Mapping[str, Any] | None = self.seen.get("errands", {}).get(key)
        return found

    def call_it(self, title: str) -> None:
        """Its owner has another word for it."""
        self.title = title
        for lane in self.lanes:
            lane.call_it(self._lane_title(lane.there, len(self.lanes)))

    def learn_soon(self) -> None:
        """Its verdicts may have changed: a clip has ended there."""
        self._asked_at = float("-inf")

    # ---- its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        heard = time.monotonic()
        while not self.gone.is_set():
            with self._loop.turn():
                try:
                    if time.monotonic() - self._asked_at > REPORT_SECONDS:
                        self._learn()
                        self._learnt()
                    self._watch(WATCH_SECONDS)
                    heard = time.monotonic()
                except Unheard as error:
                    if time.monotonic() - heard > LOST_SECONDS:
                        self._end(error)
                    self.gone.wait(WATCH_SECONDS)
            self.gone.wait(self._loop.pause)

    def _end(self, error: HeadroomError) -> None:
        log.warning("%s has gone: %s", self.name, error)
        self._lost(self, error.sentence)
        self.close()

    def _learn(self) -> None:
        sizes: dict[str, list[list[int]]] = {}
        for lane in self.lanes:
            for model, more in lane.guard.asked().items():
                sizes.setdefault(model, []).extend(more)
        report = self.ask("report", sizes)
        if not self.lanes:
            self.lanes = tuple(self._lane(told, len(report["lanes"])) for told in report["lanes"])
        for lane in self.lanes:
            told = next((one for one in report["lanes"] if one["name"] == lane.there), None)
            if told is not None:
                lane.report(told)
        self.left_out = list(report["left_out"])
        self._asked_at = time.monotonic()

    def _lane(self, told: Mapping[str, Any], count: int) -> RemoteLane:
        there = str(told["name"])
        name = self.name if count == 1 else f"{self.name}:{there}"

        def ask(model: str, sizes: list[Size]) -> Mapping[str, Any]:
            answer: Mapping[str, Any] = self.ask(
                "verdicts", there, model, wire.sizes_to_json(sizes)
            )
            return answer

        presets, jobs = self._engine.presets, self._engine.jobs
        title = self._lane_title(there, count)
        return RemoteLane(name, there, self.host, title, presets, jobs, ask)

    def _lane_title(self, there: str, count: int) -> Text:
        if count == 1:
            return plain(self.called)
        return Text("joined.lane_of", machine=self.called, lane=there)

    def _watch(self, seconds: float) -> None:
        known = self.seen.get("serial", -1), self.seen.get("event", -1)
        seen = self.ask("watch", *known, seconds)
        for lane in self.lanes:
            lane.watched(seen)
        with self.changed:
            self.seen = seen
            self.changed.notify_all()


def lost(machine: Machine) -> Unheard:
    """What whoever waits for ``machine`` hears once it has gone."""
    return silent(machine.called)
