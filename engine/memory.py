"""What memory is in use: the machine's RAM, the worker's share, and the peak of each stage."""

import threading
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class MemorySample:
    """Bytes. ``worker`` is None while no worker runs."""

    total: int
    available: int
    worker: int | None

    @property
    def used(self) -> int:
        return self.total - self.available


def sample_memory(worker_pid: int | None) -> MemorySample:
    """One reading; a worker that just ended reads as None."""
    memory = psutil.virtual_memory()
    worker: int | None = None
    if worker_pid is not None:
        try:
            worker = psutil.Process(worker_pid).memory_info().rss
        except psutil.Error:
            worker = None
    return MemorySample(memory.total, memory.available, worker)


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
        while not self._stop.wait(interval):
            self._sampled = max(self._sampled, self._process.memory_info().rss)
