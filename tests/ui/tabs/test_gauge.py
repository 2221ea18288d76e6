"""The memory gauge's lines, for scripted samples."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.machine.memory import GpuSample, HostSample, MemorySample, Meter
from engine.machine.recorder import FlightRecorder
from engine.text import Text
from engine.units import GIB
from ui.tabs.gauge import gauge_state
from ui.wording import say

HOST = HostSample(64 * GIB, 32 * GIB, 7 * GIB, 0, 0, None, None)
GPU = GpuSample(
    index=0,
    uuid="GPU-a",
    name="RTX 4060 Ti",
    total=16 * GIB,
    used=6 * GIB,
    free=10 * GIB,
    utilisation=97,
    temperature=61,
    power=164.6,
    power_limit=165.0,
    pcie_width=None,
    pcie_width_max=None,
    driver="581.57",
    capability=None,
    display=None,
    holders=(),
)
Told = Callable[[GpuSample | None], dict[str, Text]]


class OneSample(Meter):
    """Gives what it is told."""

    def __init__(self, gpu: GpuSample | None) -> None:
        self.gpu = gpu

    def sample(self, worker_pid: int | None) -> MemorySample:
        return MemorySample(1000.0, HOST, self.gpu, "ok" if self.gpu else "none", "")


@pytest.fixture
def told() -> Told:
    def state(gpu: GpuSample | None) -> dict[str, Text]:
        recorder = FlightRecorder(OneSample(gpu), lambda: None, lambda: None)
        return gauge_state(recorder, None, None, None, None)

    return state


def test_the_line_of_a_gpu_is_whole_in_either_language(told: Told) -> None:
    health = told(GPU)["gauge-health"]
    assert say(health, "en") == "97 % busy, 61 °C, 165 of 165 W, driver 581.57"
    assert say(health, "zh") == "占用率 97%、61 °C、165 / 165 W、驱动 581.57"
    less = told(replace(GPU, utilisation=None, power_limit=None))["gauge-health"]
    assert say(less, "en") == "61 °C, 165 W, driver 581.57"


def test_its_memory_is_split(told: Told) -> None:
    seen = told(GPU)
    assert seen["gauge-name"] == "RTX 4060 Ti"
    assert say(seen["gauge-use"], "en") == "6.0 GB of 16.0 GB"
    assert say(seen["gauge-split"], "en") == "this program 0 MB, others 6.0 GB, free 10.0 GB"
    assert say(seen["gauge-split"], "zh") == "本程序 0 MB，其他程序 6.0 GB，空闲 10.0 GB"
    assert say(seen["ram-text"], "en") == "RAM 32.0 GB of 64.0 GB"


def test_without_a_gpu_it_is_the_ram(told: Told) -> None:
    seen = told(None)
    assert seen["gauge-name"] == Text("gauge.ram")
    assert seen["gauge-problem"] == Text("gauge.no_gpu")
    assert not seen["gauge-health"]
    assert not seen["ram-text"]
