"""The memory that a model runs in, as it is now: whose it is, and what is kept free of it."""

from dataclasses import dataclass

import psutil

from engine.machine.facts import VRAM_LIMIT, vram_limit
from engine.machine.memory import GpuSample, HostSample, MemorySample
from engine.presets import ModelPreset
from engine.text import Memory, Said, Text
from engine.units import GIB, MIB

DISPLAY_RESERVE = 700 * MIB  # what desktops and browsers take back at any moment (ComfyUI's figure)
RAM_RESERVE = 1 * GIB  # below this a system begins to swap, and everything on it crawls
GROUP_PART = 8  # of a container's RAM at the most, so that from 8 GiB on it is the same
MARGIN_SHARE, MARGIN_LEAST = 0.05, 256 * MIB


def margin(peak: int) -> int:
    """What must stay free above a peak: the predictor's own error, and never next to nothing."""
    return max(MARGIN_LEAST, round(peak * MARGIN_SHARE))


@dataclass(frozen=True)
class Device:
    """The memory that a model runs in, as it is now. ``holders``: who else holds how much.

    ``total`` is what the program may use of it; ``physical`` is what there is, where that is more.
    """

    name: Said
    total: int
    others: int
    reserve: int
    holders: tuple[tuple[Said, int], ...] = ()
    physical: int | None = None

    @property
    def budget(self) -> int:
        return self._given(self.others + self.reserve)

    @property
    def budget_alone(self) -> int:
        """What the budget would be if nobody else held anything."""
        return self._given(self.reserve)

    def _given(self, taken: int) -> int:
        there = self.total if self.physical is None else self.physical
        return max(0, min(self.total, there - taken))


def device_for(
    preset: ModelPreset, sample: MemorySample, worker: int | None, told: int | None = None
) -> Device | None:
    """The memory that ``preset`` runs in; None where there is no such device (now).

    Args:
        worker: our child's pid.
        told: the device memory that the child says it holds.
    """
    if preset.runs_on == "cpu":
        host = sample.host
        # A guest runs beside the model that is loaded, and nothing is unloaded for it.
        ours = 0 if preset.is_guest else host.worker or 0
        others = host.used - ours
        return Device(Text("guard.the_ram"), host.total, others, ram_reserve(host))
    gpu = sample.gpu
    if gpu is None:
        return None
    others = max(0, gpu.used - held_by(gpu, worker, told))
    holders = tuple((h.name, h.used or 0) for h in gpu.holders if h.pid != worker and h.used)
    limit = vram_limit()
    if limit is None or limit >= gpu.total:
        return Device(gpu.name, gpu.total, others, _reserve(gpu), holders)
    name = Text("guard.limited_device", device=gpu.name, limit=Memory(limit), variable=VRAM_LIMIT)
    return Device(name, limit, others, _reserve(gpu), holders, gpu.total)


def ram_reserve(host: HostSample) -> int:
    """What is kept free of the RAM. The system's own share lies outside of a container, where the
    limit itself is all that must not be met."""
    return min(RAM_RESERVE, host.total // GROUP_PART) if host.limited else RAM_RESERVE


def held_by(gpu: GpuSample, pid: int | None, told: int | None = None) -> int:
    """Bytes of ``gpu`` that the process holds.

    Args:
        told: what the process itself says: it counts where the driver is silent, as Windows' WDDM
            is about every process, and NVML in a container about pids of the outside.
    """
    if pid is None:
        return 0
    known = [h.used for h in gpu.holders if h.pid == pid and h.used is not None]
    return sum(known) if known else min(told or 0, gpu.used)


def _reserve(gpu: GpuSample) -> int:
    # A driver that doesn't say whether there is a display gets the benefit of the doubt.
    return 0 if gpu.display is False else DISPLAY_RESERVE


def biggest(count: int = 3) -> tuple[tuple[Said, int], ...]:
    """Who holds the most RAM: names and bytes. To be asked only where somebody is to be named."""
    found: list[tuple[Said, int]] = []
    for process in psutil.process_iter(["name", "memory_info"]):
        memory = process.info["memory_info"]
        if memory is not None:
            found.append(
                (process.info["name"] or Text("guard.process", pid=process.pid), memory.rss)
            )
    return tuple(sorted(found, key=lambda pair: -pair[1])[:count])
