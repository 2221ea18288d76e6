"""What the worker's process does so that a measured peak depends on the size alone, not on what ran
before or on when Python next collects."""

import contextlib
import ctypes
import gc
import sys

M_MMAP_THRESHOLD = -3  # malloc.h
MMAP_BYTES = 2**20


def return_freed_memory() -> None:
    """Have glibc return every freed block of a megabyte or more to the system at once.

    By itself it raises that threshold as blocks are freed, up to 32 MB, and keeps what is below:
    a size's peak would depend on which sizes ran before it (measured: by up to 30 %).
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)


def trim() -> None:
    """The same for smaller blocks, before a stage is measured."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def collect() -> None:
    """Free what only reference cycles hold, once a model is loaded or a job ended early.

    Of Wan 2.2's two transformers the second one's own buffers on the GPU are dropped in such a
    cycle: 0.53 GB, which stayed for one clip or for all of them (H200, 2026-11-30).
    """
    gc.collect()
