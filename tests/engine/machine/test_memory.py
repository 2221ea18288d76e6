"""Memory readings against memory that the test really takes."""

import ctypes
import os
import sys
import time

import numpy as np
import psutil
import pytest

from engine.machine import memory
from engine.machine.cards import Absent, Card, Lost
from engine.machine.memory import Meter, PeakRss, sample_host
from engine.machine.nvml import Gpu
from engine.text import Text

MIB = 2**20


@pytest.mark.parametrize("exact", [True, False])
def test_a_peak_is_seen_after_the_memory_is_gone(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exact:  # what a system without /proc gets
        monkeypatch.setattr(PeakRss, "_clear", lambda self: False)
    meter = PeakRss(interval=0.002)
    if exact and not meter.exact:
        pytest.skip("this system keeps no resettable high-water mark")
    meter.reset()
    before = meter.peak()
    block = np.ones(200 * MIB, np.uint8)
    if not exact:
        for _ in range(20):  # the sampling thread needs a few turns to see it
            block += 1
    del block
    grown = meter.peak() - before
    assert 190 * MIB < grown < 260 * MIB
    meter.reset()
    assert meter.peak() < before + 60 * MIB
    meter.close()


def test_the_sample_adds_up_and_a_dead_worker_reads_as_none() -> None:
    sample = sample_host(os.getpid())
    assert sample.used + sample.available == sample.total
    assert sample.worker is not None
    assert 10 * MIB < sample.worker < sample.total
    assert 0 <= sample.swap_used <= sample.swap_total
    assert sample_host(None).worker is None
    assert sample_host(2**22 + 1).worker is None
    assert sample_host(-1).worker is None


def test_both_ways_to_read_the_host_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_host(None)
    monkeypatch.setattr(memory, "_meminfo", dict)  # what a system without /proc gets
    plain = sample_host(None)
    assert (sample.total, sample.swap_total) == (plain.total, plain.swap_total)
    assert sample.total <= psutil.virtual_memory().total, "a container may have less"
    assert abs(sample.available - plain.available) < sample.total / 4
    if sys.platform == "linux":
        assert sample.commit_limit
        assert sample.committed
        assert plain.commit_limit is None


def test_windows_structure_has_the_size_that_windows_checks() -> None:
    if ctypes.sizeof(ctypes.c_size_t) == 8:
        assert ctypes.sizeof(memory._PerformanceInformation) == 104


def test_a_meter_without_a_gpu_measures_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Absent(Text("machine.no_driver"))

    monkeypatch.setattr(memory, "Gpu", fail)
    meter = Meter()
    sample = meter.sample(os.getpid())
    assert (sample.state, sample.gpu) == ("none", None)
    assert sample.problem == Text("machine.no_driver")
    assert sample.host.worker
    meter.close()


def test_a_surprise_in_the_driver_does_not_end_the_sampling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr(memory, "Gpu", fail)
    sample = Meter().sample(None)
    assert (sample.state, sample.gpu) == ("lost", None)
    assert sample.problem == Text("machine.unreadable", error="RuntimeError")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (Absent(Text("machine.no_driver")), Text("machine.lost", why=Text("machine.no_driver"))),
        (Lost(Text("machine.driver_updated")), Text("machine.driver_updated")),
    ],
)
def test_what_takes_a_known_gpu_away_is_a_loss(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, told: Text
) -> None:
    def fail(*_: object) -> Gpu:
        raise trouble

    monkeypatch.setattr(memory, "Gpu", fail)
    meter = Meter()
    meter._known = Card(0, "GPU-a", "RTX 4060 Ti", 1)
    sample = meter.sample(None)
    assert (sample.state, sample.problem) == ("lost", told)
    assert str(sample.problem).startswith("GPU lost: ")


def test_where_nothing_was_found_the_next_look_is_a_minute_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[float] = []

    def fail(*_: object) -> None:
        looks.append(time.monotonic())
        raise Absent("There is no GPU here.")

    monkeypatch.setattr(memory, "Gpu", fail)
    meter = Meter()
    for _ in range(50):
        meter.sample(None)
    assert len(looks) == 1
    assert memory.ABSENT_SECONDS - 1 < meter._retry_at - looks[0] < memory.ABSENT_SECONDS + 30
