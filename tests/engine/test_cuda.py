"""Which memory ran out, from the words of those who ran out of it."""

import errno

import pytest
import torch

from engine.pipelines.cuda import what_ran_out


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.25 GiB"), "VRAM"),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), "VRAM"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "RAM"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "RAM"),
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
