"""The flight recorder: one thread samples memory for all readers, and keeps each stage's peak."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.machine.memory import MemorySample, Meter
from engine.process import loops
from engine.process.loops import Faults, Loop
from engine.stages import Stage

BUSY_SECONDS = 0.25
IDLE_SECONDS = 1.0
SOONEST_SECONDS = 0.05  # however often it is nudged
KEPT_SECONDS = 120.0
KEPT_JOBS = 8


@dataclass(frozen=True)
class Busy:
    """What a sample counts for: a job, and the stage that it is in."""

    job: int
    stage: Stage


class FlightRecorder:
    """See the module's docstring. ``start`` and ``close`` frame its life; the meter is not its own.

    Args:
        meter: what is sampled.
        worker_pid: the worker's process id, None while none runs.
        busy: None while idle, else the job and its stage.
        clock: seconds, the clock of ``MemorySample.at``.
        faults: where the page looks for what the thread ran into.
    """

    def __init__(
        self,
        meter: Meter,
        worker_pid: Callable[[], int | None],
        busy: Callable[[], Busy | None],
        clock: Callable[[], float] = time.monotonic,
        faults: Faults | None = None,
    ) -> None:
        self._meter, self._worker_pid, self._busy, self._clock = meter, worker_pid, busy, clock
        self._lock = threading.Lock()  # guards what is kept, never held while sampling
        self._samples: deque[MemorySample] = deque()
        self._peaks: dict[int, dict[str, int]] = {}
        self._nudged = threading.Event()
        self._closing = threading.Event()
        self._loop = Loop("recorder", (faults or Faults()).tell)
        self._thread = threading.Thread(target=self._run, name="flight-recorder", daemon=True)

    def start(self) -> None:
        loops.start(self._thread)

    def close(self) -> None:
        """End the thread; what it kept can still be read."""
        self._closing.set()
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def nudge(self) -> None:
        """Something changed (a job or a stage begins): sample now, not at the next tick."""
        self._nudged.set()

    def latest(self) -> MemorySample:
        """The newest sample; takes one if there is none yet."""
        with self._lock:
            newest = self._samples[-1] if self._samples else None
        return newest if newest is not None else self._sample()

    def window(self, seconds: float) -> tuple[MemorySample, ...]:
        """The samples of the last ``seconds`` (120 are kept), the oldest first."""
        since = self._clock() - seconds
        with self._lock:
            return tuple(sample for sample in self._samples if sample.at >= since)

    def peaks(self, job: int) -> dict[str, int]:
        """Bytes by stage: the most device memory in use, by whomever, seen in this job.

        On a machine without a GPU it is the worker's resident memory. Samples can miss a peak
        shorter than their distance. Empty for a job that is unknown or long ago.
        """
        with self._lock:
            return dict(self._peaks.get(job, {}))

    # ---- the recorder's own thread ---------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            self._nudged.clear()
            pause = IDLE_SECONDS
            with self._loop.turn():
                pause = self._turn()
            if self._nudged.wait(max(pause, self._loop.pause)):
                self._closing.wait(SOONEST_SECONDS)

    def _turn(self) -> float:
        """One sample; the seconds until the next."""
        begun = self._clock()
        pause = BUSY_SECONDS if self._sample_stage() else IDLE_SECONDS
        return max(SOONEST_SECONDS, begun + pause - self._clock())

    def _sample_stage(self) -> bool:
        """Take a sample and count it for the stage; whether a job runs."""
        before = self._busy()
        sample = self._sample()
        after = self._busy()
        if before is not None and before == after:  # else it belongs to neither for certain
            self._count(before, sample)
        return after is not None

    def _sample(self) -> MemorySample:
        sample = self._meter.sample(self._worker_pid())
        with self._lock:
            self._samples.append(sample)
            while self._samples[0].at < sample.at - KEPT_SECONDS:
                self._samples.popleft()
        return sample

    def _count(self, busy: Busy, sample: MemorySample) -> None:
        used = _device_used(sample)
        if used is None:
            return
        with self._lock:
            stages = self._peaks.setdefault(busy.job, {})
            stages[busy.stage] = max(used, stages.get(busy.stage, 0))
            while len(self._peaks) > KEPT_JOBS:
                del self._peaks[next(iter(self._peaks))]


def _device_used(sample: MemorySample) -> int | None:
    """Bytes; None while the GPU is lost, for the worker's RAM would be no measure of it."""
    if sample.gpu is not None:
        return sample.gpu.used
    return sample.host.worker if sample.state == "none" else None
