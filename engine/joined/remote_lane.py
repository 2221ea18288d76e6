"""A lane of another machine as that machine last told of it: what the dispatch, the page and the
commands ask, answered here."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import HeadroomError
from engine.guard.duration import Duration
from engine.guard.predict import Rules
from engine.guard.verdict import Verdict, Word
from engine.guard.verdicts import NotHere, Verdicts
from engine.jobs import Job, Jobs
from engine.joined import wire
from engine.measurements import MeasurementRow
from engine.presets import Presets
from engine.request import Size
from engine.text import NOTHING, Text, from_row
from engine.worker.maker import Seat
from engine.worker.progress import Progress
from engine.worker.status import EngineState, Status

Ask = Callable[[str, list[Size]], Mapping[str, Any]]
STATES = {
    "idle": EngineState.READY,
    "off": EngineState.OFF,
    "loading": EngineState.LOADING,
    "busy": EngineState.BUSY,
    "lost": EngineState.FAILED,
}


class RemoteVerdicts(Verdicts):
    """The other machine's guard, from its last report; what that doesn't have is asked for.

    Args:
        ask: the verdicts on sizes of a model, as ``Station.verdicts`` tells them.
    """

    def __init__(self, presets: Presets, title: Text, ask: Ask) -> None:
        super().__init__(presets)
        self.title, self._ask = title, ask
        self.models: Mapping[str, Mapping[str, Any] | None] = {}
        self.past: Mapping[str, Mapping[str, float]] = {}  # by model and size of what it makes
        self._more: dict[tuple[str, Size], Mapping[str, Any]] = {}

    def tell(self, models: Mapping[str, Mapping[str, Any] | None]) -> None:
        """What a new report says; what was asked for besides is asked for again."""
        self.models, self._more = models, {}

    def asked(self) -> dict[str, list[list[int]]]:
        """The sizes beyond those on offer that somebody wanted to know of, by model."""
        found: dict[str, list[list[int]]] = {}
        for model, size in list(self._more):
            found.setdefault(model, []).append([size.height, size.width, size.frames])
        return found

    def verdicts(self, model: str, sizes: Iterable[Size]) -> dict[Size, Verdict]:
        wanted = list(sizes)
        told = self._told(model, wanted)
        if told is None:
            sentence, remedy = self._missing(model)
            no = Verdict(Word.IMPOSSIBLE, sentence, "none", None, 0, remedy)
            return dict.fromkeys(wanted, no)
        return {size: wire.verdict_from_json(told[size]["verdict"]) for size in wanted}

    def durations(self, model: str, sizes: Iterable[Size]) -> dict[Size, Duration | None]:
        wanted = list(sizes)
        told = self._told(model, wanted)
        return {
            size: None if told is None else wire.duration_from_json(told[size]["took"])
            for size in wanted
        }

    def _told(self, model: str, sizes: list[Size]) -> dict[Size, Mapping[str, Any]] | None:
        report = self.models.get(model)
        if report is None:
            return None
        known = report["sizes"]
        unknown = [
            size
            for size in sizes
            if wire.size_key(size) not in known and (model, size) not in self._more
        ]
        if unknown:
            try:
                answers = self._ask(model, unknown)
            except HeadroomError:
                return None
            self._more |= {(model, size): answers[wire.size_key(size)] for size in unknown}
        return {size: known.get(wire.size_key(size)) or self._more[model, size] for size in sizes}

    def check_here(self, model: str) -> None:
        if self.models.get(model) is None:
            raise NotHere(*self._missing(model))

    def _missing(self, model: str) -> tuple[Text, Text]:
        name = self._presets.called(model)
        told = Text("joined.not_ready_there", model=name, machine=self.title)
        return told, Text("joined.fetch_there")

    def rules(self, model: str) -> Rules:
        report = self.models.get(model)
        if report is not None:
            return wire.rules_from_json(report["rules"])
        shape = self._presets.models[model].default
        return Rules(Size(shape.height, shape.width, shape.frames), 0, 0, 1.0)

    def rows(self, model: str) -> list[MeasurementRow]:
        """None: they lie on that machine."""
        return []

    def of_job(self, job: int) -> list[MeasurementRow]:
        return []

    def last_seconds(self, model: str, size: Size) -> Mapping[str, float]:
        return self.past.get(f"{model} {size}", {})

    def budget(self, model: str) -> int:
        report = self.models.get(model)
        return 0 if report is None else int(report["budget"])


@dataclass(frozen=True)
class Trip:
    """A job of this queue that another machine makes, there under ``key``."""

    job: Job
    key: str


class RemoteLane:
    """See the module's docstring; its machine's thread and its feeder write, any thread may ask.

    Args:
        name: what its jobs are claimed under here; ``there`` is its name on its machine, the
            host of which is ``machine``.
        title: what people call it.
        ask: as for ``RemoteVerdicts``.
    """

    def __init__(
        self,
        name: str,
        there: str,
        machine: str,
        title: Text,
        presets: Presets,
        jobs: Jobs,
        ask: Ask,
    ) -> None:
        self.seat, self.name, self.there = Seat(name, title, everything=False), name, there
        self.machine = machine
        self.guard = RemoteVerdicts(presets, title, ask)
        self.device, self.total, self.free, self.word_of_state = "", 0, 0, "off"
        self.paused = False  # its people have paused its queue
        self.trip: Trip | None = None
        self.homeward: frozenset[int] = frozenset()  # jobs whose clips are on their way here
        self.preview: bytes | None = None
        self.wakeup = threading.Event()
        self._jobs, self._status = jobs, Status()
        self._left: float | None = None
        self._refused: frozenset[int] = frozenset()
        self._dismissed = 0.0

    def call_it(self, title: Text) -> None:
        """Its machine has another title."""
        self.seat = replace(self.seat, title=title)
        self.guard.title = title

    # ---- what its machine tells ------------------------------------------------------------

    def report(self, told: Mapping[str, Any]) -> None:
        """A lane of ``Station.report``."""
        self.device, self.total = str(told["device"]), int(told["total"])
        self.guard.tell(told["models"])

    def watched(self, told: Mapping[str, Any]) -> None:
        """An answer of ``Station.watch``."""
        lane = told["lanes"][self.there]
        self.paused = bool(told["paused"])
        self.free, self._left = int(told["free"][self.there]), told["left"][self.there]
        self.word_of_state = str(lane["state"])
        notice, before = from_row(lane["notice"]), self._status
        at = before.notice_at if notice == before.notice and before.notice_at else time.time()
        trip = self.trip
        errand = told["errands"].get(trip.key) if trip is not None else None
        shown = Status(
            state=STATES.get(self.word_of_state, EngineState.OFF),
            model=str(lane["model"]),
            label=from_row(lane["label"]),
            notice=notice,
            notice_at=at if notice and at > self._dismissed else 0.0,
        )
        if trip is not None:
            probing = errand and errand.get("probing")
            shown = replace(
                shown,
                job=trip.job.id,
                progress=self._progress(trip, errand, told["passed"].get(trip.key)),
                preview=self.preview,
                probing=wire.sizes_from_json([probing])[0] if probing else None,
            )
        self._status = shown

    def _progress(
        self, trip: Trip, errand: Mapping[str, Any] | None, passed: Mapping[str, Any] | None
    ) -> Progress:
        request = trip.job.request
        if errand is None or "at" not in errand or passed is None:
            before = self._status.progress
            mine = before is not None and before.job == trip.job.id
            return before if before is not None and mine else Progress(trip.job.id)
        self.guard.past = {f"{request.model} {request.size}": passed["past"]}
        stage, fraction, step, steps = errand["at"]
        since = time.monotonic() - passed["since"]
        return Progress(trip.job.id, stage, fraction, step, steps, since)

    # ---- as Maker and Taker ----------------------------------------------------------------

    @property
    def status(self) -> Status:
        status = self._status
        return status if status.notice_at else replace(status, notice=NOTHING)

    def running(self) -> Job | None:
        return self._jobs.running(self.name)

    def suits(self, model: str) -> bool:
        """Whether all that ``model`` needs is there."""
        return self.guard.models.get(model) is not None

    def dismiss_notice(self, notice_at: float) -> None:
        self._dismissed = max(self._dismissed, notice_at)
        if self._status.notice_at <= self._dismissed:
            self._status = replace(self._status, notice_at=0.0)

    def nudge(self) -> None:
        self.wakeup.set()

    def progress(self, job: Job) -> Progress | None:
        if job.id in self.homeward:
            return Progress(job.id, "save", 0.5)
        progress = self._status.progress
        return progress if progress is not None and progress.job == job.id else None

    def refuse(self, job: int) -> None:
        """Its machine said no to it."""
        self._refused |= {job}

    def refuses(self, job: Job) -> bool:
        return self.paused or job.id in self._refused or not self.suits(job.request.model)

    def word(self, job: Job) -> Word:
        if job.kind == "probe":
            return Word.OPEN  # its machine has the last word
        return self.guard.verdict(job.request.model, job.request.size).word

    def takes(self, job: Job) -> float | None:
        if job.kind == "probe":
            return None
        size = job.request.size
        took = self.guard.durations(job.request.model, [size])[size]
        return None if took is None else took.seconds

    def left(self) -> float | None:
        return 0.0 if self.trip is None and self.word_of_state in ("idle", "off") else self._left

    def loads(self, model: str, after: str | None) -> float:
        report = self.guard.models.get(model)
        there = self._status.model if after is None else after
        return 0.0 if report is None or model == there else float(report["loads"])
