"""A ceiling for this process's memory during a probe, so that it fails cleanly instead of swapping.

On CUDA the pipeline sets torch's own fraction; this is its counterpart for RAM.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil

from engine.machine.facts import this_machine
from engine.machine.memory import PeakRss


@contextmanager
def memory_ceiling(budget: int) -> Iterator[bool]:
    """Let this process's resident memory grow to about ``budget`` bytes and no further.

    An allocation beyond it fails as it does on a full machine. Yields False where the system has
    no such limit (Windows, macOS): there the probe runs without.
    """
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        yield False
        return
    # RLIMIT_DATA counts what is mapped, also where it isn't resident (stacks, spare arenas).
    mapped = next(int(line.split()[1]) for line in status.splitlines() if "VmData" in line) * 1024
    room = max(0, budget - psutil.Process().memory_info().rss)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mapped + room if hard == resource.RLIM_INFINITY else min(mapped + room, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield True
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class RamMeter(PeakRss):
    """The meter of a pipeline that runs in RAM (``pipelines.base.StageMeter``)."""

    # The ceiling counts what is mapped, not what is resident: too coarse for a clip that fits.
    caps_clips = False

    def __init__(self) -> None:
        super().__init__()
        self.device = this_machine().device

    def held(self) -> int | None:
        return None  # the operating system tells everybody

    def ceiling(self, budget: int) -> AbstractContextManager[bool]:
        return memory_ceiling(budget)
