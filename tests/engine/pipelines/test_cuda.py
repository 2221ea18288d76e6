"""The GPU's memory as the worker reads it, with torch and NVML scripted; which memory ran out."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from engine.pipelines import cuda
from engine.pipelines.cuda import CudaMeter, TooFull, is_dead, what_ran_out

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.25 GiB"), "VRAM"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), "VRAM"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "RAM"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "commit"),
        (RuntimeError("cudaHostRegister failed with CUDA error 2"), "RAM"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "RAM"),
        (MemoryError(), "RAM"),
        (OSError("The paging file is too small for this operation to complete"), "commit"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (OSError(errno.ENOENT, "No such file or directory"), None),
    ],
)
def test_the_memory_is_told_apart(error: BaseException, memory: str | None) -> None:
    assert what_ran_out(error) == memory


def test_memory_that_couldnt_be_pinned_is_the_hosts() -> None:
    """CUDA says the same of both; LightX2V's functions that pin have it in their names."""

    def create_pin_tensor() -> None:
        raise RuntimeError("CUDA error: out of memory")

    def spin_up() -> None:
        raise RuntimeError("CUDA error: out of memory")

    for work, memory in ((create_pin_tensor, "RAM"), (spin_up, "VRAM")):
        with pytest.raises(RuntimeError) as raised:
            work()
        assert what_ran_out(raised.value) == memory


def test_an_out_of_memory_says_how_much_more_was_wanted() -> None:
    told = cuda.out_of_memory(
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 154.00 MiB. GPU 0 has a")
    )
    assert told is not None
    assert told.memory == "VRAM"
    assert str(told.sentence) == "The GPU's memory (VRAM) is full: 154.00 MiB more was needed."
    assert told.sentence.id == "pipelines.full_vram"
    assert told.sentence.values["more"].values == {"size": "154.00 MiB"}
    assert told.remedy.id == "pipelines.free_vram"
    assert cuda.out_of_memory(ValueError("x")) is None


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "The GPU's memory (VRAM) is full."),
        (MemoryError(), "The machine's memory (RAM) is full."),
        (
            OSError("The paging file is too small for this operation to complete"),
            "Windows has reached its commit limit (RAM plus page file).",
        ),
    ],
)
def test_each_memory_has_its_sentence_and_its_remedy(error: Exception, sentence: str) -> None:
    told = cuda.out_of_memory(error)
    assert told is not None
    assert str(told.sentence) == sentence
    assert told.remedy.id == f"pipelines.free_{told.memory.lower()}"


# ---- the meter -----------------------------------------------------------------------------


class Card:
    """A GPU of 16 GiB: 1 GiB is others'; our context takes 600 MiB, torch what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reserved = self.peak = 0
        self.context = False
        self.tells: Callable[[], Any] = lambda: self._processes()
        self.fractions: list[float] = []
        self.dead = ""
        for name, answer in {
            "synchronize": self._synchronize,
            "memory_reserved": lambda: self.reserved,
            "max_memory_allocated": lambda: self.peak,
            "empty_cache": lambda: None,
            "reset_peak_memory_stats": lambda: None,
            "set_per_process_memory_fraction": self._limit,
            "get_device_properties": lambda _: SimpleNamespace(total_memory=16 * GIB, name="RTX"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, answer)
        monkeypatch.setattr(cuda, "_nvml_handle", lambda: "the card")
        monkeypatch.setattr(cuda, "_driver", lambda: "580.1")
        monkeypatch.setattr(torch, "zeros", self._zeros)
        for name, answer in {
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=self.used),
            "nvmlDeviceGetComputeRunningProcesses": lambda _: self.tells(),
        }.items():
            monkeypatch.setattr(pynvml, name, answer)

    @property
    def ours(self) -> int:
        return self.reserved + 600 * MIB * self.context

    @property
    def used(self) -> int:
        return GIB + self.ours

    def _processes(self) -> list[Any]:
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=self.ours)]

    def _zeros(self, *_: Any, **__: Any) -> Any:
        self.context = True
        self._synchronize()
        return SimpleNamespace(add_=lambda _: None)

    def _limit(self, fraction: float) -> None:
        self._synchronize()
        self.fractions.append(fraction)

    def _synchronize(self) -> None:
        if self.dead:
            raise RuntimeError(self.dead)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(monkeypatch)


def test_a_peak_is_what_torch_allocated_and_what_lies_outside(card: Card) -> None:
    meter = CudaMeter()
    assert (meter.device, meter.total, meter.driver) == ("RTX", 16 * GIB, "580.1")
    card.peak, card.reserved = 5 * GIB, 6 * GIB
    assert meter.peak() == 5 * GIB + 600 * MIB
    assert meter.held() == 6 * GIB + 600 * MIB


def test_a_gpu_without_room_for_a_context_is_told_as_that(card: Card) -> None:
    card.dead = "CUDA error: out of memory"
    with pytest.raises(TooFull, match="Too little memory was left to start") as told:
        CudaMeter()
    assert "Close other programs" in str(told.value.remedy)


def test_what_lies_outside_only_grows(card: Card) -> None:
    meter = CudaMeter()
    card.tells = lambda: [SimpleNamespace(pid=os.getpid(), usedGpuMemory=900 * MIB)]
    assert meter.outside() == 900 * MIB
    card.tells = lambda: []
    assert meter.outside() == 900 * MIB


@pytest.mark.parametrize("pid", [1, None], ids=["another's", "untold"])
def test_where_the_driver_doesnt_tell_it_is_what_the_context_took(
    card: Card, pid: int | None
) -> None:
    """WDDM tells of no process, a container's NVML of none by the pid that it has inside."""
    used = None if pid is None else 5 * GIB
    card.tells = lambda: [SimpleNamespace(pid=pid or os.getpid(), usedGpuMemory=used)]
    assert CudaMeter().outside() == 600 * MIB


def test_a_driver_that_fails_is_no_failure_of_ours(card: Card) -> None:
    def lost() -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    meter = CudaMeter()
    card.tells = lost
    assert meter.outside() == 600 * MIB
    assert meter.held() == 600 * MIB


def test_the_ceiling_is_a_share_of_the_card_and_is_lifted(card: Card) -> None:
    meter = CudaMeter()
    with meter.ceiling(8 * GIB + 600 * MIB):
        assert card.fractions == [0.5]
    assert card.fractions == [0.5, 1.0]


def test_a_dead_context_doesnt_hide_what_killed_it(card: Card) -> None:
    def fail_under(ceiling: AbstractContextManager[None]) -> None:
        with ceiling:
            card.dead = "CUDA error: an illegal memory access was encountered"
            raise ValueError("the cause")

    meter = CudaMeter()
    with pytest.raises(ValueError, match="the cause"):
        fail_under(meter.ceiling(8 * GIB))


@pytest.mark.parametrize(
    ("words", "dead"),
    [
        ("", False),
        ("CUDA error: out of memory", False),
        ("CUDA error: an illegal memory access was encountered", True),
    ],
)
def test_a_context_is_dead_when_nothing_answers(card: Card, words: str, dead: bool) -> None:
    card.dead = words
    assert is_dead() is dead
