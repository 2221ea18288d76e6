"""Memory readings against memory that the test really takes."""

import os

import numpy as np
import pytest

from engine.memory import PeakRss, sample_memory

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
    sample = sample_memory(os.getpid())
    assert sample.used + sample.available == sample.total
    assert sample.worker is not None
    assert 10 * MIB < sample.worker < sample.total
    assert sample_memory(None).worker is None
    assert sample_memory(2**22 + 1).worker is None
