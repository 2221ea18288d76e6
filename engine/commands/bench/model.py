"""What a clip of a model costs here: made by our worker as the engine would have it make one.

The user's own installation is measured (its weights, its plan, its guard), but no job, clip or
measurement is left in it: the worker is driven directly, as the supervisor drives it.
"""

import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from engine.commands.bench.clips import computing
from engine.commands.bench.row import BenchError, BenchFailed, Say, median
from engine.commands.bench.upstream import lightx2v_command
from engine.default_model import default_model
from engine.engine import Engine
from engine.guard.climb import PROBE_PROMPT
from engine.guard.guard import Guard
from engine.guard.verdicts import Refused
from engine.machine.memory import MemorySample, Meter
from engine.pipelines import family_of
from engine.presets import ModelPreset
from engine.request import ClipRequest, Size
from engine.worker.messages import (
    Advance,
    Compare,
    Compared,
    Failed,
    Finished,
    FromWorker,
    Generate,
    Heartbeat,
    Ready,
)
from engine.worker.process import WorkerProcess, worker_environment

SHORT = 20.0  # a clip that takes less is made some times more, and the median counts
AGAIN = 5
Message = TypeVar("Message", Ready, Finished, Compared)


@dataclass(frozen=True)
class MadeClips:
    """A clip: seconds from the order to the written file, and its receipt."""

    seconds: float
    receipt: dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """``cold`` is the first clip after ``load`` seconds of loading, and ``start`` seconds from the
    process's start to its file; ``warm`` some that follow it, with its prompt; ``fresh`` one with a
    prompt that nobody has read before, the text encoder being awake (LightX2V only). ``found``:
    pipelines/bench/compare.py, and ``command`` of upstream.py. ``untried``: the kernels had to be
    tried before the model was loaded."""

    preset: ModelPreset
    size: Size
    device: str
    memory: int
    driver: str
    load: float
    start: float
    cold: MadeClips
    warm: list[MadeClips]
    fresh: MadeClips | None
    found: dict[str, Any] = field(default_factory=dict)
    untried: bool = False

    @property
    def seconds(self) -> float:
        return statistics.median(made.seconds for made in self.warm)

    def stage(self, name: str) -> float:
        return statistics.median(float(made.receipt["stages"][name]) for made in self.warm)

    @property
    def idle(self) -> float:
        """The seconds of a clip in which nothing is computed."""
        return median([made.seconds - computing(made.receipt) for made in self.warm])

    @property
    def step(self) -> float:
        return self.stage("denoise") / self.preset.steps

    @property
    def peak(self) -> int:
        """The most bytes that any of them took."""
        made = [self.cold, *self.warm, *filter(None, [self.fresh])]
        return max(int(peak) for one in made for peak in one.receipt["peaks"].values())


def choose(engine: Engine, model: str | None, say: Say) -> ClipRequest:
    """What is measured: ``model``, else this machine's usual one; at its own size, or at the open
    size most like it.

    Raises:
        Refused: no size of ``model`` is open here.
        NotHere, WeightsMissing, WeightsError: something of ``model`` isn't here.
        RequestError: there is no such model.
    """
    if model is None:
        usual = default_model(engine)
        say(str(usual.sentence))
        model = usual.preset.id
    raw: dict[str, object] = {"prompt": PROBE_PROMPT, "model": model, "seed": 0}
    request = ClipRequest.check(raw, engine.presets)
    try:
        engine.admit([request])
    except Refused as refused:
        if refused.nearest is None:
            raise
        near = refused.nearest
        say(f"{near} is measured instead of {request.size}: {refused.sentence}")
        raw |= {"height": near.height, "width": near.width, "frames": near.frames}
        request = ClipRequest.check(raw, engine.presets)
        engine.admit([request])
    return request


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Hold the engine of the user's folder, so that nobody makes clips meanwhile.

    Raises:
        BenchError: another process has it.
    """
    try:
        with FileLock(engine.home.engine_lock).acquire(timeout=0):
            yield
    except Timeout:
        raise BenchError(
            "Another Headroom is running and would be measured too.", "Close its page first."
        ) from None


def cost(engine: Engine, request: ClipRequest, folder: Path, say: Say) -> Cost:
    """Load the model in a worker, make clips and compare; ``folder`` takes the clips."""
    preset = engine.presets.models[request.model]
    around = family_of(preset).upstream
    untried = around and not (engine.home.cache / "kernels.json").exists()
    began = time.perf_counter()
    with driven(engine, preset, folder, say) as worker:
        load = worker.wait_for(Ready).seconds
        first = _asking(request, around)
        cold = worker.clip(first, "cold")
        start = round(time.perf_counter() - began, 3)
        count = AGAIN if cold.seconds < SHORT else 1
        warm = [worker.clip(first, f"warm, {n + 1} of {count}") for n in range(count)]
        last = _asking(request, around)
        fresh = worker.clip(last, "with a new prompt") if around else None
        found = worker.compare(last)
    if around:
        say("LightX2V's own command")
        offload = str(cold.receipt["plan"]["offload"]["value"])
        found["command"] = lightx2v_command(
            engine.home, preset, first, folder, offload, worker.look, start
        )
    gpu = worker.look.gpu if preset.runs_on == "nvidia" else None
    return Cost(
        preset,
        request.size,
        cold.receipt["device"],
        gpu.total if gpu else worker.look.host.total,
        gpu.driver if gpu else "",
        load,
        start,
        cold,
        warm,
        fresh,
        found,
        untried,
    )


@contextmanager
def driven(engine: Engine, preset: ModelPreset, folder: Path, say: Say) -> Iterator["Driven"]:
    """A worker that is loading ``preset`` by the plan in force; killed at the end."""
    meter = Meter()
    look = meter.sample(None)
    say(f"loading {preset.name}")
    child = WorkerProcess.start(
        preset,
        engine.plan_for(preset.id),
        str(engine.home.logs / "worker.log"),
        worker_environment(preset, look),
    )
    try:
        yield Driven(child, engine, meter, look, folder, say)
    finally:
        child.stop()
        child.pipe.close()
        meter.close()


def _asking(request: ClipRequest, new: bool) -> ClipRequest:
    """``request``; ``new``: with words that no run before can have asked for."""
    words = f"{request.prompt}, take {secrets.randbelow(10**9)}"
    return replace(request, prompt=words) if new else request


class Driven:
    """A worker that is given orders and waited for."""

    def __init__(
        self,
        child: WorkerProcess,
        engine: Engine,
        meter: Meter,
        look: MemorySample,
        folder: Path,
        say: Say,
    ) -> None:
        self.look, self._child, self._folder, self._say = look, child, folder, say
        self._held: int | None = None
        self._stage = ""
        pid = child.process.pid
        # One that knows this worker: what it holds would else count as others'.
        self._guard = Guard(
            engine.jobs.store,
            engine.presets,
            lambda: meter.sample(pid),
            lambda: pid,
            engine.plans,
            lambda: self._held,
        )

    def clip(self, request: ClipRequest, what: str) -> MadeClips:
        self._say(f"a clip, {what}")
        files = str(self._folder / "clip.mp4"), str(self._folder / "clip.jpg")
        began = time.perf_counter()
        self._child.send(Generate(1, request, request.seed, *files, self._ceiling(request)))
        receipt = self.wait_for(Finished).receipt
        return MadeClips(round(time.perf_counter() - began, 3), receipt)

    def compare(self, request: ClipRequest) -> dict[str, Any]:
        self._say("the device's own rates, and whose way is faster")
        self._child.send(Compare(1, request, self._ceiling(request)))
        try:
            found = self.wait_for(Compared).found
        except BenchFailed as error:  # minutes of clips were measured before, and they count
            self._say(f"The comparison failed: {error}")
            return {}
        for name, why in found["left_out"].items():
            self._say(f"{name} could not be measured: {why}")
        return found

    def _ceiling(self, request: ClipRequest) -> int:
        return self._guard.budget(request.model)

    def wait_for(self, wanted: type[Message]) -> Message:
        """The next message of that kind.

        Raises:
            BenchFailed: the worker failed, ended or hung.
        """
        while True:
            try:
                if not self._child.pipe.poll(1.0):
                    if why := self._child.overdue():
                        raise BenchFailed(why, "logs/worker.log may say more.")
                    continue
                message: FromWorker = self._child.pipe.recv()
            except (EOFError, OSError):
                ended = f"{self._child.how_it_ended()} during the benchmark."
                raise BenchFailed(ended, "logs/worker.log may say more.") from None
            self._child.hear()
            self._child.ready |= isinstance(message, Ready)
            if isinstance(message, Heartbeat):
                self._held = message.device_bytes
            if isinstance(message, wanted):
                return message
            if isinstance(message, Failed):
                raise BenchFailed(message.sentence, message.remedy)
            if isinstance(message, Advance) and message.stage != self._stage:
                self._stage = message.stage
                if family_of(self._child.preset).upstream:  # others are done before it is read
                    self._say(f"  {message.stage}")
