"""The flight recorder: scripted samples under a clock of our own, and its thread for real."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from engine.machine import recorder as recording
from engine.machine.memory import GpuSample, HostSample, MemorySample, Meter, State
from engine.machine.recorder import Busy, FlightRecorder
from tests.conftest import wait_until

MIB = 2**20


class ScriptedMeter(Meter):
    """Gives what it is told; ``now`` is its clock, and the recorder's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.used: int | None = 0  # MiB on the GPU, None without one
        self.state: State = "ok"
        self.during: Callable[[], None] = lambda: None
        self.pids: list[int | None] = []

    def sample(self, worker_pid: int | None) -> MemorySample:
        self.during()
        self.pids.append(worker_pid)
        host = HostSample(64 * MIB, 32 * MIB, 7 * MIB, 0, 0, None, None)
        gpu = None if self.used is None else _gpu(self.used)
        return MemorySample(self.now, host, gpu, self.state, "")


class Scripted:
    """A recorder that is not started: ``turn`` is what its thread does each time."""

    def __init__(self) -> None:
        self.meter = ScriptedMeter()
        self.key: Busy | None = None
        self.recorder = FlightRecorder(
            self.meter, lambda: 42, lambda: self.key, clock=lambda: self.meter.now
        )

    def turn(self, key: Busy | None, used: int | None = 0) -> float:
        self.key, self.meter.used = key, used
        pause = self.recorder._turn()
        self.meter.now += pause
        return pause


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def test_four_samples_a_second_while_busy_and_one_while_idle(scripted: Scripted) -> None:
    assert [scripted.turn(Busy(1, "load")) for _ in range(3)] == [0.25] * 3
    assert [scripted.turn(None) for _ in range(3)] == [1.0] * 3
    assert scripted.turn(Busy(1, "encode")) == 0.25


def test_a_slow_driver_does_not_slow_the_pace(scripted: Scripted) -> None:
    def lag() -> None:
        scripted.meter.now += 0.2

    scripted.meter.during = lag
    assert scripted.turn(Busy(1, "denoise")) == pytest.approx(0.05)
    assert scripted.turn(None) == pytest.approx(0.8)


def test_the_last_two_minutes_are_kept(scripted: Scripted) -> None:
    for _ in range(1000):
        scripted.turn(Busy(1, "denoise"))
    kept = scripted.recorder.window(1e9)
    assert len(kept) == 120 * 4 + 1
    assert kept[-1].at - kept[0].at == 120
    assert [sample.at for sample in kept] == sorted(sample.at for sample in kept)
    assert len(scripted.recorder.window(10)) == 40
    scripted.meter.now += 200  # a driver that hangs: what is old is not shown as the present
    assert scripted.recorder.window(60) == ()
    assert scripted.recorder.latest() == kept[-1]


def test_the_peak_of_each_stage_of_each_job(scripted: Scripted) -> None:
    for key, used in [
        (Busy(12, "encode"), 300),
        (Busy(12, "encode"), 900),
        (Busy(12, "denoise"), 11_000),
        (Busy(12, "denoise"), 12_000),
        (Busy(12, "denoise"), 11_500),
        (None, 15_000),  # somebody else's
        (Busy(12, "decode"), 9_000),
        (Busy(13, "denoise"), 5_000),
    ]:
        scripted.turn(key, used * MIB)
    assert scripted.recorder.peaks(12) == {
        "encode": 900 * MIB,
        "denoise": 12_000 * MIB,
        "decode": 9_000 * MIB,
    }
    assert scripted.recorder.peaks(13) == {"denoise": 5_000 * MIB}
    assert scripted.recorder.peaks(14) == {}


def test_a_sample_in_which_the_stage_changed_counts_for_neither(scripted: Scripted) -> None:
    def change() -> None:
        scripted.key = Busy(12, "decode")

    scripted.meter.during = change
    scripted.turn(Busy(12, "denoise"), 12_000)
    assert scripted.recorder.peaks(12) == {}


def test_only_the_last_jobs_are_kept(scripted: Scripted) -> None:
    for job in range(recording.KEPT_JOBS + 3):
        scripted.turn(Busy(job, "denoise"), job)
    kept = [job for job in range(100) if scripted.recorder.peaks(job)]
    assert kept == list(range(3, recording.KEPT_JOBS + 3))


def test_without_a_gpu_the_worker_is_the_measure_and_a_lost_one_has_none(
    scripted: Scripted,
) -> None:
    scripted.meter.state = "lost"
    scripted.turn(Busy(1, "denoise"), None)
    assert scripted.recorder.peaks(1) == {}
    scripted.meter.state = "none"
    scripted.turn(Busy(1, "denoise"), None)
    assert scripted.recorder.peaks(1) == {"denoise": 7 * MIB}
    assert scripted.meter.pids == [42, 42]


# ---- its thread ----------------------------------------------------------------------------


@pytest.fixture
def busy() -> list[Busy | None]:
    return [None]


@pytest.fixture
def real(busy: list[Busy | None]) -> Iterator[FlightRecorder]:
    """A recorder on this machine's own memory, not started."""
    meter = Meter()
    recorder = FlightRecorder(meter, os.getpid, lambda: busy[0])
    yield recorder
    recorder.close()
    meter.close()


def test_latest_takes_a_sample_if_there_is_none(real: FlightRecorder) -> None:
    assert real.window(120) == ()
    sample = real.latest()
    assert sample.host.worker
    assert real.latest() is sample
    assert real.window(120) == (sample,)


def test_the_thread_samples_no_faster_than_it_should(
    real: FlightRecorder, busy: list[Busy | None]
) -> None:
    busy[0] = Busy(5, "denoise")
    real.start()
    wait_until(lambda: len(real.window(120)) >= 6, "six samples")
    taken = [sample.at for sample in real.window(120)]
    assert taken[5] - taken[0] > 5 * 0.25 - 0.2  # a busy machine only makes it longer
    wait_until(lambda: "denoise" in real.peaks(5), "a peak")
    assert real.peaks(5)["denoise"] > MIB


def test_a_nudge_samples_at_once(real: FlightRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "IDLE_SECONDS", 3600.0)
    real.start()
    wait_until(lambda: len(real.window(120)) == 1, "the first sample")
    real.nudge()
    wait_until(lambda: len(real.window(120)) == 2, "the nudged sample")


def test_many_nudges_are_not_many_samples(
    real: FlightRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "SOONEST_SECONDS", 3600.0)
    real.start()
    wait_until(lambda: len(real.window(120)) == 1, "the first sample")
    real.nudge()
    for _ in range(1000):
        real.nudge()
        assert len(real.window(120)) == 1


def test_close_ends_the_thread_even_between_two_samples(real: FlightRecorder) -> None:
    real.start()
    wait_until(lambda: real.window(120), "a sample")
    real.close()
    assert "flight-recorder" not in {thread.name for thread in threading.enumerate()}
    assert real.latest()


def _gpu(used: int) -> GpuSample:
    return GpuSample(
        index=0,
        uuid="GPU-a",
        name="RTX 4060 Ti",
        total=16_380 * MIB,
        used=used,
        free=16_380 * MIB - used,
        utilisation=None,
        temperature=None,
        power=None,
        power_limit=None,
        pcie_width=None,
        pcie_width_max=None,
        driver="581.57",
        capability=None,
        display=None,
        holders=(),
    )
