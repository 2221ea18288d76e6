"""Page-locked memory of exact size, with a register that only counts."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.pipelines.lightx2v import pinning
from engine.pipelines.lightx2v.pinning import ALIGNED, LARGE, PAGE, SLAB, PinnedArena, cuda_register

MIB = 2**20


class Pages:
    """Stands in for CUDA: notes what it was asked to lock, and refuses from a limit on."""

    def __init__(self, limit: int = 2**40) -> None:
        self.locked: list[tuple[int, int]] = []
        self.limit, self.asked = limit, 0

    def __call__(self, address: int, size: int) -> None:
        self.asked += 1
        if sum(size for _, size in self.locked) + size > self.limit:
            raise RuntimeError("no more of it")
        self.locked.append((address, size))


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5120, 13824), torch.float8_e4m3fn),  # 67.5 MiB, of which torch makes 128
        ((5120, 5120), torch.float8_e4m3fn),
        ((1031, 1033), torch.bfloat16),
    ],
)
def test_a_large_tensor_takes_its_own_size(
    pages: Pages, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    arena = PinnedArena(pages)
    size = shape[0] * shape[1] * dtype.itemsize
    placed = arena.place(torch.zeros(shape, dtype=dtype))
    arena.settle()
    assert (placed.shape, placed.dtype) == (shape, dtype)
    assert size <= arena.pinned < size + PAGE
    assert [length for _, length in pages.locked] == [arena.pinned]
    assert pages.locked[0][0] % PAGE == 0
    assert placed.data_ptr() == pages.locked[0][0]


def test_small_tensors_share_a_slab(pages: Pages) -> None:
    arena = PinnedArena(pages)
    placed = [arena.place(torch.full((1000,), float(n))) for n in range(50)]
    assert [length for _, length in pages.locked] == [SLAB]
    assert all(
        torch.equal(tensor, torch.full((1000,), float(n))) for n, tensor in enumerate(placed)
    )
    assert all(tensor.data_ptr() % ALIGNED == 0 for tensor in placed)


def test_a_full_slab_is_followed_by_another(pages: Pages) -> None:
    arena = PinnedArena(pages)
    just_small = torch.zeros(LARGE - 1, dtype=torch.uint8)
    for _ in range(SLAB // LARGE + 1):
        arena.place(just_small)
    assert [length for _, length in pages.locked] == [SLAB, SLAB]


def test_the_contents_are_equal_and_stay(pages: Pages) -> None:
    arena = PinnedArena(pages)
    for shape in ((3, 5), (600, 700), ()):
        tensor = torch.randn(shape)
        placed = arena.place(tensor)
        arena.settle()
        tensor_before = tensor.clone()
        tensor.zero_()
        assert torch.equal(placed, tensor_before)


def test_a_transposed_source_is_copied_by_value(pages: Pages) -> None:
    tensor = torch.randn(40, 30)
    assert torch.equal(PinnedArena(pages).place(tensor.t()), tensor.t())


def test_transpose_is_a_view_of_what_was_copied(pages: Pages) -> None:
    tensor = torch.randn(1024, 2048)
    arena = PinnedArena(pages)
    placed = arena.place(tensor, transpose=True)
    arena.settle()
    assert torch.equal(placed, tensor.t())
    assert not placed.is_contiguous()
    assert placed.t().is_contiguous()
    assert placed.data_ptr() == pages.locked[0][0]


def test_it_converts_while_copying(pages: Pages) -> None:
    placed = PinnedArena(pages).place(torch.full((2, 2), 1.5), dtype=torch.bfloat16)
    assert placed.dtype == torch.bfloat16
    assert placed.tolist() == [[1.5, 1.5], [1.5, 1.5]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("turned", [False, True])
def test_many_large_tensors_are_whole_once_they_have_settled(
    pages: Pages, dtype: torch.dtype, turned: bool
) -> None:
    arena = PinnedArena(pages)
    tensors = [torch.randn(1024, 512 + n) for n in range(24)]
    tensors = [tensor.t() if turned else tensor for tensor in tensors]
    placed = [arena.place(tensor, dtype=dtype) for tensor in tensors]
    arena.settle()
    assert all(torch.equal(a, b.to(dtype)) for a, b in zip(placed, tensors, strict=True))
    assert arena.filled == arena.pinned == sum(length for _, length in pages.locked)
    arena.settle()  # nothing is left to wait for


def test_what_cant_be_read_is_told_when_it_settles(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    arena = PinnedArena(pages)
    monkeypatch.setattr(np, "copyto", broken)
    arena.place(torch.zeros(LARGE))
    with pytest.raises(OSError, match="Input/output"):
        arena.settle()


def test_an_empty_tensor_has_a_place(pages: Pages) -> None:
    assert PinnedArena(pages).place(torch.zeros(0, 4)).shape == (0, 4)


def test_what_cant_be_locked_is_pageable_and_counted() -> None:
    pages = Pages(limit=3 * MIB)
    arena = PinnedArena(pages)
    tensors = [torch.full((2 * MIB,), n, dtype=torch.uint8) for n in range(3)]
    placed = [arena.place(tensor) for tensor in tensors]
    arena.settle()
    assert (arena.pinned, arena.pageable) == (2 * MIB, 4 * MIB)
    assert pages.asked == 2, "a system that gives no more isn't asked a thousand times"
    assert all(torch.equal(a, b) for a, b in zip(placed, tensors, strict=True))


def test_a_failed_registration_leaves_no_error_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA keeps it, and the next kernel's check would raise it (shown on a GPU:
    tests/tools/gpu)."""
    runtime = SimpleNamespace(cudaHostRegister=lambda _address, size, _flags: 2 * (size > MIB))
    taken_back: list[int] = []
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(pinning, "forget_error", lambda: taken_back.append(1))
    cuda_register(0, MIB)
    assert taken_back == []
    with pytest.raises(RuntimeError, match="cudaHostRegister failed with CUDA error 2"):
        cuda_register(0, 2 * MIB)
    assert taken_back == [1]
