"""Samples of memory, made up."""

from dataclasses import replace

from engine.machine.facts import GpuFacts
from engine.machine.memory import HostSample, MemorySample
from engine.machine.nvml import GpuSample, Holder
from tests.support.machines import GIB, RTX_4060_TI


def sample_of(gpu: GpuFacts, used: int = 0, holders: tuple[Holder, ...] = ()) -> GpuSample:
    return GpuSample(
        gpu.index,
        gpu.uuid,
        gpu.name,
        gpu.total,
        used,
        gpu.total - used,
        None,
        None,
        None,
        None,
        None,
        None,
        gpu.driver,
        gpu.capability,
        False,
        holders,
    )


CARD = replace(RTX_4060_TI, total=80 * GIB)


def seen(used: int = 0, holders: tuple[Holder, ...] = ()) -> MemorySample:
    host = HostSample(64 * GIB, 60 * GIB, None, 0, 0, None, None)
    return MemorySample(0.0, host, sample_of(CARD, used, holders), "ok", "")


def without_gpu() -> MemorySample:
    return replace(seen(), gpu=None, state="none")
