"""Runs the kernel test for a model and keeps what it found."""

import threading
import time
from collections.abc import Callable

from engine.errors import HeadroomError
from engine.home import Home
from engine.kernels import child
from engine.kernels.tasks import key_of, tasks
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample
from engine.plan.kernel_rows import KernelRow, KernelTimes, keep, kept
from engine.presets import ModelPreset
from engine.text import Memory, Text
from engine.units import GIB

NEEDS = 3 * GIB  # of VRAM, the context included
WAITS = 60.0  # seconds for others to give memory back
FILE = "kernel_test.json"


class Busy(HeadroomError):
    """Others hold the memory that the test needs, or it runs already."""


class KernelTest:
    """What was found is kept beside the trials, for as long as card, driver and packages are the
    same.

    Args:
        machine, look: the computer and its memory as they are now.
    """

    def __init__(
        self, home: Home, machine: Callable[[], Machine], look: Callable[[], MemorySample]
    ) -> None:
        self._file = home.cache / FILE
        self._machine, self._look = machine, look
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.changed: Callable[[], None] = lambda: None  # called once something was found
        self._read: dict[tuple[int, int, str], KernelTimes | None] = {}

    def times(self, preset: ModelPreset) -> KernelTimes | None:
        """What was found for models of this shape; None where nothing was tested yet."""
        try:
            stat = self._file.stat()
        except OSError:
            return None
        key = stat.st_mtime_ns, stat.st_size, key_of(self._machine(), preset)
        if key not in self._read:  # a plan is made for each verdict
            self._read = {key: kept(self._file, key[2])}
        return self._read[key]

    def run(
        self,
        preset: ModelPreset,
        told: Callable[[KernelRow], None] = lambda _: None,
        waits: Callable[[Text], None] = lambda _: None,
        undisturbed: Callable[[], bool] = lambda: True,
    ) -> KernelTimes:
        """Test, keep and return. One at a time.

        Args:
            told: hears each row as it comes.
            waits: hears once why it doesn't begin yet.
            undisturbed: asked at the end; what was timed beside other work isn't kept.

        Raises:
            Busy: others hold the memory, for longer than ``WAITS``; or a test runs already.
            CantTest: nothing can be timed here.
        """
        if not self._lock.acquire(blocking=False):
            raise Busy(Text("kernels.runs_already"), Text("kernels.wait_for_it"))
        try:
            machine = self._machine()
            given, environment = self._asked(preset, machine)
            if given["device"] == "cuda":
                self._wait_for_memory(waits)
            every = tasks(machine, preset)
            if not every:
                raise child.CantTest(
                    Text("kernels.nothing_to_test", model=preset.name), Text("kernels.run_doctor")
                )
            found = KernelTimes(child.run(every, given, environment, told, self._stop))
            if undisturbed() and not self._stop.is_set():
                keep(self._file, key_of(machine, preset), found)
                self.changed()
            return found
        finally:
            self._lock.release()

    def close(self) -> None:
        """End a test that runs; nothing of it is kept."""
        self._stop.set()

    def _asked(
        self, preset: ModelPreset, machine: Machine
    ) -> tuple[dict[str, object], dict[str, str]]:
        """What its process is told, and the environment that it starts in.

        Raises:
            CantTest: the model needs a GPU, and there is none.
        """
        if preset.runs_on == "cpu":
            about = {"threads": machine.cores, "checkpoint": preset.checkpoint}
            return {"device": "cpu", "family": "wan-tiny", **about}, {"OMP_WAIT_POLICY": "passive"}
        if machine.gpu is None:
            raise child.CantTest(
                Text("plan.needs_gpu", model=preset.name), Text("plan.choose_another_model")
            )
        where = {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # NVML's order
            "CUDA_VISIBLE_DEVICES": machine.gpu.uuid or str(machine.gpu.index),
            "PROFILING_DEBUG_LEVEL": "0",
            "HF_HUB_OFFLINE": "1",
        }
        return {"device": "cuda", "family": "lightx2v"}, where

    def _wait_for_memory(self, waits: Callable[[Text], None]) -> None:
        until, waited = time.monotonic() + WAITS, False
        while (gpu := self._look().gpu) is not None and gpu.free < NEEDS:
            if time.monotonic() > until:
                raise Busy(
                    Text("kernels.too_full", free=Memory(gpu.free), needs=Memory(NEEDS)),
                    Text("kernels.close_programs"),
                )
            if not waited:
                waits(Text("kernels.waits", free=Memory(gpu.free), needs=Memory(NEEDS)))
                waited = True
            time.sleep(1)
