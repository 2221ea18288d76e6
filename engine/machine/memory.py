"""What memory is in use: the GPU's, the machine's RAM, the worker's share, each stage's peak."""

import ctypes
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from engine.errors import HeadroomError, first_line
from engine.machine import cgroup
from engine.machine.cards import Absent, Card, Lost
from engine.machine.nvml import Gpu, GpuSample, Holder
from engine.process.loops import Loop
from engine.text import NOTHING, Said, Text

__all__ = [
    "GpuSample",
    "Holder",
    "HostSample",
    "MemorySample",
    "Meter",
    "PeakRss",
    "State",
    "sample_host",
]

log = logging.getLogger("headroom.memory")

WANTED = "HEADROOM_GPU"
RETRY_SECONDS = 2.0  # a GPU that was lost is looked for again so often
ABSENT_SECONDS = 60.0  # and one that never was there
KIB = 1024

State = Literal["ok", "none", "lost"]


@dataclass(frozen=True)
class HostSample:
    """The RAM that we may use, in bytes: the machine's, or less in a container (``cgroup.py``).
    ``worker``: the worker's resident memory, None without one.

    ``committed`` of ``commit_limit`` is what programs were promised. Windows refuses memory when
    it is spent, even with free RAM, so it fails before the GPU does. None: not known here.
    ``limited``: the machine has more than we may use.
    """

    total: int
    available: int
    worker: int | None
    swap_total: int
    swap_used: int
    commit_limit: int | None
    committed: int | None
    limited: bool = False

    @property
    def used(self) -> int:
        return self.total - self.available


@dataclass(frozen=True)
class MemorySample:
    """One reading of everything.

    Args:
        at: ``time.monotonic()`` when it was taken.
        state: "ok", "none" (no NVIDIA GPU or driver here) or "lost" (there was one).
        problem: nothing, or one sentence with what it means and what to do.
    """

    at: float
    host: HostSample
    gpu: GpuSample | None
    state: State
    problem: Said


class MemoryUnknown(HeadroomError):
    """The system doesn't say what memory is in use."""


class Meter:
    """Reads host and GPU; any thread may ask. Recovers by itself when a lost GPU is back."""

    def __init__(self, card: Card | None = None) -> None:
        """``card``: this one and no other; None asks the environment variable HEADROOM_GPU."""
        self._wanted = os.environ.get(WANTED, "") if card is None else card.uuid or str(card.index)
        self._lock = threading.Lock()
        self._gpu: Gpu | None = None
        self._known = card
        self._state: State = "none"
        self._problem = NOTHING
        self._retry_at = float("-inf")

    def sample(self, worker_pid: int | None) -> MemorySample:
        """One reading. The driver may take long to notice that a GPU is lost.

        Raises:
            MemoryUnknown: as ``sample_host``; whatever the GPU does is told in the sample.
        """
        host = sample_host(worker_pid)
        with self._lock:
            gpu = self._read()
            return MemorySample(time.monotonic(), host, gpu, self._state, self._problem)

    def close(self) -> None:
        """Give NVML back. A later ``sample`` would open it again."""
        with self._lock:
            self._drop()

    def _read(self) -> GpuSample | None:
        """What the open GPU says; if it fails, one try with a fresh NVML, not too often."""
        if self._gpu is not None:
            sample = self._try(self._gpu)
            if sample is not None:
                return sample
        if time.monotonic() < self._retry_at:
            return None
        return self._try(None)

    def _try(self, gpu: Gpu | None) -> GpuSample | None:
        try:
            if gpu is None:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                visible = os.environ.get("CUDA_VISIBLE_DEVICES")
                # A driver that was reloaded answers only after nvmlShutdown and nvmlInit.
                self._gpu = gpu = Gpu(self._wanted, visible, self._known)
            sample = gpu.read()
        except Lost as trouble:
            self._failed(trouble.problem, False)
            return None
        except Absent as trouble:
            self._failed(self._of_known(trouble.problem), True)
            return None
        except Exception as error:  # a driver's surprise must not end the sampling
            log.exception("the GPU could not be read")
            problem = Text("machine.unreadable", error=type(error).__name__)
            self._failed(self._of_known(problem), False)
            return None
        if self._state != "ok":
            log.info("measuring GPU %d: %s", sample.index, sample.name)
        self._known = gpu.card
        self._state, self._problem = "ok", gpu.problem
        return sample

    def _of_known(self, problem: Text) -> Text:
        """What is no loss by itself is one where there was a GPU."""
        return problem if self._known is None else Text("machine.lost", why=problem)

    def _failed(self, problem: Text, absent: bool) -> None:
        self._drop()
        if problem != self._problem:
            # A machine without a GPU is no fault; one that lost it is.
            level = logging.INFO if absent and self._known is None else logging.WARNING
            log.log(level, "%s", problem)
        self._problem = problem
        self._state = "none" if absent and self._known is None else "lost"
        if self._state == "none":
            self._retry_at = time.monotonic() + ABSENT_SECONDS

    def _drop(self) -> None:
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None


# ---- the machine's RAM ---------------------------------------------------------------------


def sample_host(worker_pid: int | None) -> HostSample:
    """One reading of RAM, swap and commit; a worker that just ended reads as None.

    Raises:
        MemoryUnknown: psutil can't read it.
    """
    try:
        return _sample_host(worker_pid)
    except (psutil.Error, OSError) as error:
        why = first_line(error, type(error).__name__)
        raise MemoryUnknown(
            Text("machine.memory_unknown", why=why), Text("machine.memory_again")
        ) from error


def _sample_host(worker_pid: int | None) -> HostSample:
    worker: int | None = None
    if worker_pid is not None:
        try:
            worker = psutil.Process(worker_pid).memory_info().rss
        except (psutil.Error, OSError, ValueError):
            worker = None
    if sys.platform == "linux":
        return _within(cgroup.memory(), _whole(worker))
    return _whole(worker)


def _within(group: cgroup.GroupMemory, whole: HostSample) -> HostSample:
    """What is left of the machine in a container, or whatever else limits us."""
    total = min(whole.total, whole.total if group.total is None else group.total)
    available = min(total, whole.available)
    if group.available is not None:
        available = min(available, group.available)
    swap, free = whole.swap_total, whole.swap_total - whole.swap_used
    if group.swap_total is not None and group.swap_free is not None:
        swap, free = min(swap, group.swap_total), min(free, group.swap_free)
    return replace(
        whole,
        total=total,
        available=available,
        swap_total=swap,
        swap_used=max(0, swap - free),
        limited=total < whole.total,
    )


def _whole(worker: int | None) -> HostSample:
    """The machine's own."""
    if sys.platform == "linux":
        told = _meminfo()
        if told.keys() >= {"MemTotal", "MemAvailable", "SwapTotal", "SwapFree"}:
            return HostSample(
                told["MemTotal"],
                told["MemAvailable"],
                worker,
                told["SwapTotal"],
                told["SwapTotal"] - told["SwapFree"],
                told.get("CommitLimit"),
                told.get("Committed_AS"),
            )
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    limit, committed = _windows_commit()
    return HostSample(
        memory.total, memory.available, worker, swap.total, swap.used, limit, committed
    )


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes: one read instead of psutil's three, four times a second."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    told: dict[str, int] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            told[name] = int(rest[:-3]) * KIB
    return told


class _PerformanceInformation(ctypes.Structure):
    """Windows' PERFORMANCE_INFORMATION (psapi.h); memory in pages."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("CommitTotal", ctypes.c_size_t),
        ("CommitLimit", ctypes.c_size_t),
        ("CommitPeak", ctypes.c_size_t),
        ("PhysicalTotal", ctypes.c_size_t),
        ("PhysicalAvailable", ctypes.c_size_t),
        ("SystemCache", ctypes.c_size_t),
        ("KernelTotal", ctypes.c_size_t),
        ("KernelPaged", ctypes.c_size_t),
        ("KernelNonpaged", ctypes.c_size_t),
        ("PageSize", ctypes.c_size_t),
        ("HandleCount", ctypes.c_uint32),
        ("ProcessCount", ctypes.c_uint32),
        ("ThreadCount", ctypes.c_uint32),
    )


def _windows_commit() -> tuple[int | None, int | None]:
    """Commit limit and commit charge in bytes; None and None elsewhere."""
    if sys.platform == "win32":
        told = _PerformanceInformation()
        told.cb = ctypes.sizeof(told)
        if ctypes.windll.kernel32.K32GetPerformanceInfo(ctypes.byref(told), told.cb):
            return told.CommitLimit * told.PageSize, told.CommitTotal * told.PageSize
    return None, None


# ---- peaks ---------------------------------------------------------------------------------


class PeakRss:
    """The largest resident memory of this process since the last ``reset``.

    Linux keeps the exact high-water mark and lets a process reset its own (proc(5),
    /proc/pid/clear_refs, value 5). Elsewhere a thread samples every ``interval`` seconds, which
    can miss a peak shorter than that.
    """

    _CLEAR = Path("/proc/self/clear_refs")
    _STATUS = Path("/proc/self/status")

    def __init__(self, interval: float = 0.01) -> None:
        self._process = psutil.Process()
        self._sampled = 0
        self._stop = threading.Event()
        self.exact = self._clear()
        if not self.exact:
            threading.Thread(
                target=self._sample, args=(interval,), name="peak-rss", daemon=True
            ).start()

    def reset(self) -> None:
        if self.exact:
            self._clear()
        else:
            self._sampled = self._process.memory_info().rss

    def peak(self) -> int:
        """Bytes."""
        if self.exact:
            for line in self._STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return max(self._sampled, self._process.memory_info().rss)

    def close(self) -> None:
        self._stop.set()

    def _clear(self) -> bool:
        try:
            self._CLEAR.write_text("5")
        except OSError:
            return False
        return True

    def _sample(self, interval: float) -> None:
        loop = Loop("peak")
        while not self._stop.wait(max(interval, loop.pause)):
            with loop.turn():
                self._sampled = max(self._sampled, self._process.memory_info().rss)
