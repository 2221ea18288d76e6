"""A lane: one device that makes clips, with all that is measured, judged and done by device.

An engine has one of this machine. A second card, or a machine that joins, is another one: each has
its own meter, recorder, plans, guard and supervisor, and works on the one queue.
"""

from engine.guard.guard import Guard
from engine.home import Home
from engine.jobs import Job, Jobs
from engine.kernels.kernel_test import KernelTest
from engine.machine.facts import Machine, machine_now
from engine.machine.memory import MemorySample, Meter
from engine.machine.recorder import Busy, FlightRecorder
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.process.loops import Faults
from engine.weights.state import extras_here
from engine.worker.queue_lock import QueueLock
from engine.worker.status import Status
from engine.worker.supervisor import Supervisor

LOCAL = "local"  # the lane of this machine's first device


class Lane:
    """See the module's docstring; any thread may ask.

    Args:
        name: what people call it, and what its jobs are claimed under.
        meter: samples the memory of its device.
        queue: shared by the lanes of this process.
        faults: where the page looks for what its threads ran into.
    """

    def __init__(
        self,
        name: str,
        home: Home,
        presets: Presets,
        jobs: Jobs,
        meter: Meter,
        queue: QueueLock,
        faults: Faults,
    ) -> None:
        self.name = name
        self._jobs, self._meter = jobs, meter
        self.recorder = FlightRecorder(meter, self._worker_pid, self._busy_with, faults=faults)
        self.kernel_test = KernelTest(home, self.machine, self.look)
        self.plans = Plans(
            jobs.store,
            presets,
            self.machine,
            self.kernel_test.times,
            lambda preset: extras_here(home.weights / preset.weights_of, preset),
        )
        self.kernel_test.changed = self.plans.forget_kernels
        self.guard = Guard(
            jobs.store, presets, self.look, self._worker_pid, self.plans, self._device_bytes
        )
        self.supervisor = Supervisor(
            name,
            home,
            presets,
            jobs,
            self.plans,
            self.guard,
            self.recorder,
            self.look,
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

    def look(self) -> MemorySample:
        """The memory as it is now."""
        return self._meter.sample(self._worker_pid())

    def machine(self) -> Machine:
        """Its computer with the GPU that is here now."""
        return machine_now(self.look())

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
