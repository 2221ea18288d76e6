"""Page-locked memory of exact size: what lets FP8 weights and the T5 fit a 32 GB machine.

torch's pinned allocator rounds every block up to a power of two (CachingHostAllocator.h), so that
a feed-forward weight of 67.5 MiB takes 128. Here each takes its own pages, registered with CUDA.
"""

import logging
import mmap
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from engine.pipelines.cuda import forget_error

log = logging.getLogger("headroom.pinning")

PAGE = mmap.PAGESIZE
LARGE = 2**20  # from here on a tensor has a mapping of its own: at most one page is wasted
SLAB = 16 * 2**20  # smaller ones share these: registering costs a system call each
ALIGNED = 256  # bytes; what CUDA's copies like best
FILLERS = min(8, os.cpu_count() or 1)  # threads; a page costs more to make than to fill

Register = Callable[[int, int], None]


class PinnedArena:
    """Copies tensors into page-locked memory and keeps it for the process's life.

    Unloading means ending the process (worker/supervisor.py), so that nothing is ever given back.
    Large tensors are filled and locked by threads, so that reading their files, making pages and
    locking them go on beside each other: ``settle`` waits for that.
    """

    def __init__(self, register: Register) -> None:
        """``register(address, bytes)`` locks pages; it raises RuntimeError where it can't, and
        isn't asked again. It is called by several threads, one at a time."""
        self._register: Register | None = register
        self._mappings: list[mmap.mmap] = []
        self._slab: torch.Tensor | None = None
        self._used = 0
        self._fillers = ThreadPoolExecutor(FILLERS, thread_name_prefix="pin")
        self._filling: list[Future[None]] = []
        self._locking = threading.Lock()
        self.pinned = self.pageable = self.filled = 0

    def place(
        self, tensor: torch.Tensor, transpose: bool = False, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Where ``tensor`` will lie in the arena, of the same shape; a large one has its values
        after ``settle``, and mustn't be changed before.

        Args:
            transpose: return the transposed view, as LightX2V stores what its kernels read.
            dtype: convert while copying.
        """
        dtype = dtype or tensor.dtype
        size = tensor.numel() * dtype.itemsize
        if size >= LARGE:
            memory, home = self._own(size)
            copy = home[:size].view(dtype).view(tensor.shape)
            self._filling.append(self._fillers.submit(self._fill, memory, home, copy, tensor))
        else:
            copy = self._share(size).view(dtype).view(tensor.shape).copy_(tensor)
        return copy.t() if transpose else copy

    def settle(self) -> None:
        """Wait until every tensor that was placed has its values.

        Raises:
            OSError, RuntimeError: one could not be read.
        """
        filling, self._filling = self._filling, []
        for future in filling:
            future.result()

    def _own(self, size: int) -> tuple[mmap.mmap, torch.Tensor]:
        memory = mmap.mmap(-1, -(-size // PAGE) * PAGE)
        self._mappings.append(memory)
        return memory, torch.frombuffer(memory, dtype=torch.uint8)

    def _fill(
        self, memory: mmap.mmap, home: torch.Tensor, copy: torch.Tensor, tensor: torch.Tensor
    ) -> None:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without them
                memory.madvise(mmap.MADV_HUGEPAGE)
        # Filled before they are locked: threads make pages beside each other, CUDA one by one.
        if copy.dtype == tensor.dtype and tensor.is_contiguous():
            raw = tensor.flatten().view(torch.uint8).numpy()
            np.copyto(home[: len(raw)].numpy(), raw)  # torch would start threads of its own in each
        else:
            copy.copy_(tensor)
        self._lock_pages(home)

    def _lock_pages(self, home: torch.Tensor) -> None:
        size = len(home)
        with self._locking:
            if self._register is not None:
                try:
                    self._register(home.data_ptr(), size)
                except RuntimeError as error:
                    # The system gives no more. It still works, only each copy to the GPU is slower.
                    self._register = None
                    log.warning("after %d bytes no more could be locked: %s", self.pinned, error)
            if self._register is not None:
                self.pinned += size
            else:
                self.pageable += size
            self.filled += size

    def _share(self, size: int) -> torch.Tensor:
        if self._slab is None or self._used + size > SLAB:
            _, self._slab = self._own(SLAB)
            self._lock_pages(self._slab)
            self._used = 0
        place = self._slab[self._used : self._used + size]
        self._used += -(-size // ALIGNED) * ALIGNED
        return place


def cuda_register(address: int, size: int) -> None:
    """Lock the pages through the CUDA runtime.

    Raises:
        RuntimeError: the system doesn't give so much locked memory.
    """
    runtime: Any = torch.cuda
    cudart = runtime.cudart()
    code = int(cudart.cudaHostRegister(address, size, 0))
    if code != 0:
        forget_error()
        raise RuntimeError(f"cudaHostRegister failed with CUDA error {code}")


def torch_rounds_up(size: int = 33 * 2**20) -> bool:
    """Whether torch's pinned allocator still takes a power of two for ``size`` bytes."""
    before = torch.cuda.host_memory_stats().get("allocated_bytes.current", 0)
    block = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    taken = torch.cuda.host_memory_stats().get("allocated_bytes.current", 0) - before
    del block
    return bool(taken >= 1.5 * size)
