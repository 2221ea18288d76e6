"""Page-locked memory of exact size: what lets FP8 weights and the T5 fit a 32 GB machine.

torch's pinned allocator rounds every block up to a power of two (CachingHostAllocator.h), so that
a feed-forward weight of 67.5 MiB takes 128. Here each takes its own pages, registered with CUDA.
"""

import logging
import mmap
from collections.abc import Callable
from typing import Any

import torch

from engine.pipelines.cuda import forget_error

log = logging.getLogger("headroom.pinning")

PAGE = mmap.PAGESIZE
LARGE = 2**20  # from here on a tensor has a mapping of its own: at most one page is wasted
SLAB = 16 * 2**20  # smaller ones share these: registering costs a system call each
ALIGNED = 256  # bytes; what CUDA's copies like best

Register = Callable[[int, int], None]


class PinnedArena:
    """Copies tensors into page-locked memory and keeps it for the process's life.

    Unloading means ending the process (worker/supervisor.py), so that nothing is ever given back.
    """

    def __init__(self, register: Register) -> None:
        """``register(address, bytes)`` locks pages; it raises RuntimeError where it can't, and
        isn't asked again."""
        self._register: Register | None = register
        self._mappings: list[mmap.mmap] = []
        self._slab: torch.Tensor | None = None
        self._used = 0
        self.pinned = self.pageable = 0

    def place(
        self, tensor: torch.Tensor, transpose: bool = False, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """A copy of ``tensor`` of the same shape in the arena.

        Args:
            transpose: return the transposed view, as LightX2V stores what its kernels read.
            dtype: convert while copying.
        """
        dtype = dtype or tensor.dtype
        size = tensor.numel() * dtype.itemsize
        home = self._own(size) if size >= LARGE else self._share(size)
        copy = home.view(dtype).view(tensor.shape).copy_(tensor)
        return copy.t() if transpose else copy

    def _own(self, size: int) -> torch.Tensor:
        rounded = -(-size // PAGE) * PAGE
        memory = mmap.mmap(-1, rounded)
        self._mappings.append(memory)
        home = torch.frombuffer(memory, dtype=torch.uint8)
        if self._register is not None:
            try:
                self._register(home.data_ptr(), rounded)
            except RuntimeError as error:
                # The system gives no more. It still works, only each copy to the GPU is slower.
                self._register = None
                log.warning("after %d bytes no more could be page-locked: %s", self.pinned, error)
        if self._register is not None:
            self.pinned += rounded
        else:
            self.pageable += rounded
        return home[:size]

    def _share(self, size: int) -> torch.Tensor:
        if self._slab is None or self._used + size > SLAB:
            self._slab, self._used = self._own(SLAB), 0
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
