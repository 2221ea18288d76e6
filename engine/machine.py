"""What this computer is. Detected once; no torch, so that the page's process can ask."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Machine:
    """The facts that plans and receipts need. ``ram`` in bytes."""

    system: str
    processor: str
    cores: int
    ram: int
    python: str

    @property
    def device(self) -> str:
        """The device's name as a receipt and a fingerprint give it."""
        return f"CPU: {self.processor}"


@cache
def this_machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=_cores(),
        ram=psutil.virtual_memory().total,
        python=platform.python_version(),
    )


def _cores() -> int:
    """Physical cores that this process may use; containers and affinity can leave fewer."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return max(1, min(physical, len(os.sched_getaffinity(0))))
    return physical


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown processor"
