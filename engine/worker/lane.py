"""A lane: one device that makes clips, with all that is measured, judged and done by device.

An engine has one for each card of this machine, at least one: each has its own meter, recorder,
plans, guard and supervisor, and works on the one queue.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from engine.guard.guard import Guard
from engine.guard.verdict import Word
from engine.home import Home
from engine.jobs import Job, Jobs
from engine.kernels.kernel_test import KernelTest
from engine.machine.facts import Machine, machine_now
from engine.machine.memory import MemorySample, Meter
from engine.machine.recorder import Busy, FlightRecorder
from engine.plan.plans import Plans
from engine.presets import ModelPreset, Presets
from engine.process.loops import Faults
from engine.weights.checkpoint import WeightsMissing, find_parts
from engine.weights.state import extras_here
from engine.worker.dispatch import FRESH_SECONDS, Dispatch
from engine.worker.maker import Seat
from engine.worker.progress import Progress
from engine.worker.queue_lock import QueueLock
from engine.worker.status import Status
from engine.worker.supervisor import Supervisor


class Lane:
    """See the module's docstring; any thread may ask.

    Args:
        meter: samples the memory of its device.
        lent: RAM that the copies of a model's weights in the lanes before it take.
        dispatch: says which job is whose.
        queue: shared by the lanes of this process.
        faults: where the page looks for what its threads ran into.
    """

    def __init__(
        self,
        seat: Seat,
        home: Home,
        presets: Presets,
        jobs: Jobs,
        meter: Meter,
        lent: Callable[[ModelPreset], int],
        dispatch: Dispatch,
        queue: QueueLock,
        faults: Faults,
    ) -> None:
        self.seat, self.name = seat, seat.name
        self._presets, self._jobs, self._meter = presets, jobs, meter
        self._weights, self._files = home.weights, dict[str, tuple[float, bool]]()
        self.recorder = FlightRecorder(meter, self._worker_pid, self._busy_with, faults=faults)
        self.kernel_test = KernelTest(home, self.machine, self.look)
        self.plans = Plans(
            jobs.store,
            presets,
            self.machine,
            self.kernel_test.times,
            lambda preset: extras_here(home.weights / preset.weights_of, preset),
            lent,
        )
        self.kernel_test.changed = self.plans.forget_kernels
        self.guard = Guard(
            jobs.store, presets, self.look, self._worker_pid, self.plans, self._device_bytes
        )
        self.supervisor = Supervisor(
            seat.name,
            home,
            presets,
            jobs,
            self.plans,
            self.guard,
            self.recorder,
            self.look,
            dispatch,
            queue,
            faults,
        )

    @property
    def status(self) -> Status:
        """One consistent look at what it does."""
        return self.supervisor.status

    def running(self) -> Job | None:
        """The job that it makes now."""
        return self._jobs.running(self.name)

    def progress(self, job: Job) -> Progress | None:
        progress = self.status.progress
        return progress if progress is not None and progress.job == job.id else None

    def look(self) -> MemorySample:
        """The memory as it is now."""
        return self._meter.sample(self._worker_pid())

    def machine(self) -> Machine:
        """Its computer with the GPU that is here now."""
        machine = machine_now(self.look())
        return machine if self.seat.cores is None else replace(machine, cores=self.seat.cores)

    @property
    def total(self) -> int:
        sample = self.look()
        return sample.gpu.total if sample.gpu else sample.host.total

    @property
    def free(self) -> int:
        sample = self.look()
        return sample.gpu.free if sample.gpu else sample.host.available

    def nudge(self) -> None:
        """There is something new in the queue."""
        self.supervisor.nudge()

    def dismiss_notice(self, notice_at: float) -> None:
        self.supervisor.dismiss_notice(notice_at)

    # ---- for the dispatch ------------------------------------------------------------------

    def suits(self, model: str) -> bool:
        """Whether ``model`` is made on its device."""
        preset = self._presets.models.get(model)
        if self.seat.everything:
            return True
        return preset is not None and (preset.runs_on == "nvidia" or preset.changes_clips)

    def refuses(self, job: Job) -> bool:
        model = job.request.model
        return self.supervisor.refuses(job) or not (self.suits(model) and self._has_files(model))

    def word(self, job: Job) -> Word:
        if job.kind == "probe" or job.request.model not in self._presets.models:
            return Word.OPEN  # the second look has the last word
        word = self.guard.verdict(job.request.model, job.request.size).word
        again = word is Word.LOCKED and job.lane == self.name
        return Word.OPEN if again and self.supervisor.was_out_of_memory(job) else word

    def takes(self, job: Job) -> float | None:
        if job.kind == "probe" or job.request.model not in self._presets.models:
            return None
        size = job.request.size
        took = self.guard.durations(job.request.model, [size])[size]
        return None if took is None else took.seconds

    def left(self) -> float | None:
        job, progress = self.running(), self.status.progress
        loading = self.supervisor.loading_left()
        if job is None:
            return loading
        whole = self.takes(job)
        if progress is None or progress.job != job.id:
            return None if whole is None else loading + whole
        past = self.guard.last_seconds(job.request.model, job.request.size)
        left = progress.time_left(past)
        if left is not None and not left.at_least:
            return left.seconds
        return None if whole is None else whole * (1 - progress.total)

    def loads(self, model: str, after: str | None) -> float:
        status = self.status
        preset = self._presets.models.get(model)
        if preset is not None and preset.is_guest and (after or status.worker_pid):
            return 0.0
        if after is None and status.worker_pid is not None:
            after = status.model
        return 0.0 if model == after else self.supervisor.loads_in(model)

    def _has_files(self, model: str) -> bool:
        """Whether the weights of ``model`` are here; a look at the disk in ``FRESH_SECONDS``, for
        this is asked of every job that waits."""
        preset = self._presets.models.get(model)
        if preset is None or not preset.weights:
            return True
        at, found = self._files.get(model, (float("-inf"), False))
        if time.monotonic() - at > FRESH_SECONDS:
            with contextlib.suppress(WeightsMissing):
                found = False
                find_parts(self._weights / preset.weights_of, preset)
                found = True
            self._files[model] = time.monotonic(), found
        return found

    def close(self) -> None:
        """End its worker and threads; a running job is put back into the queue."""
        self.kernel_test.close()
        self.supervisor.close()
        self.recorder.close()
        self._meter.close()

    def _worker_pid(self) -> int | None:
        return self.supervisor.status.worker_pid

    def _device_bytes(self) -> int | None:
        return self.supervisor.status.device_bytes

    def _busy_with(self) -> Busy | None:
        progress = self.supervisor.status.progress
        return Busy(progress.job, progress.stage) if progress else None
