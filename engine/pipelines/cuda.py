"""The GPU's memory as the worker sees it: stage peaks, a ceiling, and which memory ran out."""

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pynvml
import torch

from engine.errors import first_line
from engine.pipelines.base import Broken, OutOfMemory, PipelineError
from engine.stages import Memory
from engine.text import NOTHING, Text

log = logging.getLogger("headroom.cuda")

# cudaHostAlloc and cudaHostRegister fail like this when the *host* has no more to lock.
_HOST_SIGNS = ("cudaHostAlloc", "cudaHostRegister", "pin_memory", "DefaultCPUAllocator")
# The last is torch's on Windows alone, where it is the promise that runs out (alloc_cpu.cpp).
_COMMIT_SIGNS = (
    "paging file is too small",
    "not enough memory resources",
    "WinError 1455",
    "DefaultCPUAllocator: not enough memory",
)


class TooFull(PipelineError):
    """Others hold so much memory now that nothing could be loaded: it says nothing of the plan."""

    def __init__(self, what_for: Text, error: BaseException) -> None:
        super().__init__(
            Text("pipelines.too_full", what_for=what_for, reason=first_line(error)),
            Text("pipelines.close_gpu_programs"),
        )


class CudaMeter:
    """Peaks of this process on its GPU (``pipelines.base.StageMeter``).

    A peak is what torch allocated plus what lies outside its allocator: the CUDA context, kernels,
    libraries' own buffers. torch reserves up to a third more, but only while nobody else asks for
    it: under a ceiling of that peak and 5 % the same sizes ran (H100; tests/tools/gpu/measure.py,
    fits). The driver tells the latter by process (not under WDDM, nor from inside
    some containers; there it is what the whole GPU gained while the context came up).
    """

    # Under WDDM an allocation beyond the budget doesn't fail: it spills into RAM, eight times
    # slower. Elsewhere it would take the room that the desktop counts on.
    caps_clips = True

    def __init__(self) -> None:
        """Brings the CUDA context up; CUDA_VISIBLE_DEVICES has chosen the GPU (worker/process.py).

        Raises:
            TooFull: the GPU has no room for it.
        """
        self._handle = _nvml_handle()
        before = self._used_by_all()
        try:
            torch.zeros(1, device="cuda")
            torch.cuda.synchronize()
        except RuntimeError as error:
            if what_ran_out(error) is None:
                raise
            raise TooFull(Text("pipelines.to_begin_with"), error) from error
        gained = self._used_by_all() - before - torch.cuda.memory_reserved()
        self._outside = max(0, gained)
        gpu = torch.cuda.get_device_properties(0)
        self.total, self.device = gpu.total_memory, gpu.name
        self.driver = _driver() if self._handle is not None else ""

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
            try:
                torch.cuda.set_per_process_memory_fraction(1.0)
            except RuntimeError:  # a dead context answers nothing; what killed it is the news
                log.exception("the ceiling could not be lifted")

    def _used_by_us(self) -> int | None:
        """None where the driver doesn't tell, or doesn't answer."""
        if self._handle is None:
            return None
        try:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except pynvml.NVMLError as error:
            log.warning("NVML doesn't say who holds the GPU's memory: %s", error)
            return None
        for process in processes:
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
        return None

    def _used_by_all(self) -> int:
        if self._handle is None:
            return 0
        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)
        except pynvml.NVMLError as error:
            log.warning("NVML doesn't say how much of the GPU is used: %s", error)
            return 0


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
    if isinstance(error, torch.OutOfMemoryError):
        return "VRAM"
    if "CUDA error: out of memory" in text:
        # The driver's words for both; where LightX2V pins weights it is RAM that can't be locked.
        return "RAM" if _pinned_at(error) else "VRAM"
    return None


def out_of_memory(error: BaseException) -> OutOfMemory | None:
    """``error`` as the text that it means, if it is about memory. In which stage and at which
    size is for those to add who know both (worker/outcomes.py)."""
    memory = what_ran_out(error)
    if memory is None:
        return None
    wanted = re.search(r"Tried to allocate (\d[\d.]* [KMG]iB)", str(error))
    more = Text("pipelines.more_wanted", size=wanted[1]) if wanted else NOTHING
    full = Text(f"pipelines.full_{memory.lower()}", more=more)
    return OutOfMemory(full, Text(f"pipelines.free_{memory.lower()}"), memory)


@contextmanager
def told_errors() -> Iterator[None]:
    """Within it the GPU's errors are told as what they mean.

    Raises:
        OutOfMemory: a memory ran out.
        Broken: the CUDA context is of no more use.
    """
    try:
        yield
    except RuntimeError as error:
        if (spent := out_of_memory(error)) is not None:
            raise spent from error
        if torch.cuda.is_available() and is_dead():
            why = Text("pipelines.gpu_gone_astray", reason=first_line(error))
            raise Broken(why, Text("pipelines.once_more")) from error
        raise


def _pinned_at(error: BaseException) -> bool:
    """Whether ``error`` comes out of a function that pins memory, by its name."""
    trace = error.__traceback__
    while trace is not None:
        if "pin" in trace.tb_frame.f_code.co_name.split("_"):
            return True
        trace = trace.tb_next
    return False


def forget_error() -> None:
    """Take back the error that a failed call of CUDA's runtime left for the next kernel's check.

    torch asks cudaGetLastError after each launch, which clears it, and offers no call of its own
    for that; so a launch is what clears it here.
    """
    try:
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
    except RuntimeError as error:
        log.info("taken back: %s", error)


def is_dead() -> bool:
    """Whether this process's CUDA context is of no more use, as after an illegal access: then
    every call fails, and only another process gets a new one."""
    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").add_(1)
        torch.cuda.synchronize()
    except RuntimeError as error:
        if what_ran_out(error) is not None:
            return False
        log.warning("the CUDA context is dead: %s", error)
        return True
    return False


def _driver() -> str:
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return ""
