"""Two unlike cards that a test writes: the driver's answers, and each card's memory."""

from dataclasses import dataclass, field, replace

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.machine.cards import Card
from engine.machine.facts import GpuFacts
from engine.machine.memory import Holder, HostSample, MemorySample, Meter
from engine.presets import Presets
from tests.support.machines import GIB, MIB, RTX_4060_TI
from tests.support.samples import sample_of

LARGE = GpuFacts("NVIDIA GeForce RTX 4090", "GPU-4090", (8, 9), 24_564 * MIB, "581.57", 1)
SMALL = replace(RTX_4060_TI, name="NVIDIA GeForce RTX 4060 Ti", total=16_380 * MIB)
HOST = HostSample(64 * GIB, 60 * GIB, None, 0, 0, None, None)


@dataclass
class Machine:
    """What the cards say; a test changes it. ``used``: by uuid, in bytes, ``holders`` who of it the
    driver names; ``gone``: lost cards."""

    host: HostSample = HOST
    used: dict[str, int] = field(default_factory=dict)
    holders: dict[str, tuple[Holder, ...]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


def install(machine: Machine, patch: pytest.MonkeyPatch, *gpus: GpuFacts) -> None:
    """Have ``Engine`` find ``gpus``, in NVML's order."""
    cards = [Card(gpu.index, gpu.uuid, gpu.name, gpu.total) for gpu in gpus]

    class CardMeter(Meter):
        def __init__(self, card: Card | None = None) -> None:
            super().__init__(card)
            self._facts = gpus[0] if card is None else gpus[cards.index(card)]

        def sample(self, worker_pid: int | None) -> MemorySample:
            gpu = self._facts
            if gpu.uuid in machine.gone:
                return MemorySample(0.0, machine.host, None, "lost", "GPU lost.")
            used, holders = machine.used.get(gpu.uuid, 0), machine.holders.get(gpu.uuid, ())
            found = sample_of(gpu, used, holders)
            return MemorySample(0.0, machine.host, found, "ok", "")

    patch.setattr("engine.worker.lanes.Meter", CardMeter)

    class Driver:
        def cards(self) -> list[Card]:
            return cards

        def close(self) -> None:
            pass

    patch.setattr("engine.worker.lanes.Driver", Driver)
    patch.delenv("HEADROOM_GPU", raising=False)
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def on_cards(presets: Presets) -> Presets:
    """``presets`` with the scripted model on NVIDIA's GPUs: its clips take 12 GiB at 128 × 128."""
    scripted = presets.models["scripted"]
    baseline = scripted.memory.model_copy(update={"baseline_peak_gib": 12.0, "minimum_gib": 15.0})
    moved = scripted.model_copy(update={"runs_on": "nvidia", "memory": baseline})
    return replace(presets, models={**presets.models, "scripted": moved})


def engine_on(presets: Presets, jobs: Jobs) -> Engine:
    return Engine(Home.find(), on_cards(presets), jobs)
