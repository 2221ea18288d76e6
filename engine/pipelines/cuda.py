"""The GPU's memory as the worker sees it: stage peaks, a ceiling, and which memory ran out."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml
import torch

from engine.pipelines.base import Memory

# cudaHostAlloc and cudaHostRegister fail like this when the *host* has no more to lock.
_HOST_SIGNS = ("cudaHostAlloc", "cudaHostRegister", "pin_memory", "DefaultCPUAllocator")
_COMMIT_SIGNS = ("paging file is too small", "not enough memory resources", "WinError 1455")


class CudaMeter:
    """Peaks of this process on its GPU (``pipelines.base.StageMeter``).

    A peak is what torch allocated plus what lies outside its allocator: the CUDA context, kernels,
    libraries' own buffers. torch reserves up to a third more, but only while nobody else asks for
    it: under a ceiling of that peak and 5 % the same sizes ran (H100; tests/gpu/measure.py, fits).
    The driver tells the latter by process (not under WDDM, nor from inside
    some containers; there it is what the whole GPU gained while the context came up).
    """

    # Under WDDM an allocation beyond the budget doesn't fail: it spills into RAM, eight times
    # slower. Elsewhere it would take the room that the desktop counts on.
    caps_clips = True

    def __init__(self) -> None:
        """Brings the CUDA context up; CUDA_VISIBLE_DEVICES has chosen the GPU (child.py)."""
        self._handle = _nvml_handle()
        before = self._used_by_all()
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
        gained = self._used_by_all() - before - torch.cuda.memory_reserved()
        self._outside = max(0, gained)
        gpu = torch.cuda.get_device_properties(0)
        self.total, self.device = gpu.total_memory, gpu.name

    def reset(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        return int(torch.cuda.max_memory_allocated()) + self.outside()

    def held(self) -> int:
        """What this process holds now: WDDM's driver can't tell it to the page's process."""
        # From the heartbeat's thread torch's figure and the driver's would be of two moments.
        return int(torch.cuda.memory_reserved()) + self._outside

    def outside(self) -> int:
        """Bytes beyond torch's allocator; it only grows, as kernels are loaded.

        For the thread that computes: nobody else may free memory between the two readings.
        """
        own = self._used_by_us()
        if own is not None:
            self._outside = max(self._outside, own - int(torch.cuda.memory_reserved()))
        return self._outside

    @contextmanager
    def ceiling(self, budget: int) -> Iterator[None]:
        share = max(0.0, min(1.0, (budget - self.outside()) / self.total))
        torch.cuda.set_per_process_memory_fraction(share)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    def _used_by_us(self) -> int | None:
        if self._handle is None:
            return None
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
        return None

    def _used_by_all(self) -> int:
        if self._handle is None:
            return 0
        return int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)


def _nvml_handle() -> Any:
    """NVML's handle of the one GPU that this process sees; None where NVML doesn't answer."""
    try:
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        if visible.isdigit():
            return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
        return pynvml.nvmlDeviceGetHandleByUUID(visible)
    except pynvml.NVMLError:
        return None


def what_ran_out(error: BaseException) -> Memory | None:
    """Which memory ``error`` says is spent; None where it is about something else."""
    text = str(error)
    if any(sign in text for sign in _COMMIT_SIGNS) or getattr(error, "winerror", None) == 1455:
        return "commit"
    if getattr(error, "errno", None) == errno.ENOMEM:
        return "RAM"
    if isinstance(error, MemoryError) or any(sign in text for sign in _HOST_SIGNS):
        return "RAM"
    if isinstance(error, torch.OutOfMemoryError) or "CUDA error: out of memory" in text:
        return "VRAM"
    return None
