"""Writes tensors of a loaded transformer in place, from its files and what LoRAs add to them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from engine.pipelines.lightx2v.adapters.arithmetic import (
    LARGEST,
    PIECE_CPU,
    PIECE_GPU,
    Product,
    merged,
    pieces,
)
from engine.pipelines.lightx2v.adapters.held import Held
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.rows_proof import prove_rows, some_rows

SCALE = "_scale"  # behind the name of a tensor that is quantised


class Writer:
    """Writes single tensors of a transformer: with what is added to them, or as they were.

    Args:
        originals: the files that the transformer was loaded from.
        device: where to compute: the GPU, whose share of the time is small, wherever there is one.
        most: values at a time; as many as suit the device without it.
    """

    def __init__(self, originals: Originals, device: torch.device, most: int | None = None) -> None:
        self.originals, self.device = originals, device
        self._most = most or (PIECE_CPU if device.type == "cpu" else PIECE_GPU)

    def parts(
        self, tensor: str, held: Mapping[str, Held]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """[rows, values] and, of what is quantised, the scales [rows, 1]; both as they are held."""
        header = self.originals.header(tensor)
        assert header is not None
        rows = held[tensor].rows(header.shape)
        if rows.dtype not in LARGEST:
            return rows, None
        return rows, held[tensor + SCALE].rows((len(rows), 1))

    def add(
        self,
        tensor: str,
        products: Sequence[Product],
        held: torch.Tensor,
        scales: torch.Tensor | None,
        clean: bool,
    ) -> None:
        """Write what the file has and all of ``products``.

        Args:
            clean: what is held is the file's own.
        """
        added = [product.to(self.device) for product in products]
        # What the file has, wherever it can be had: what is held may be rounded already.
        as_in_file = clean and held.dtype == self.originals.dtype(tensor)
        stored_scales = self._stored_scales(tensor, scales)
        for rows in pieces(held.shape[0], held.shape[1], self._most):
            stored = held[rows] if as_in_file else self._read(tensor, rows)
            some = None if stored_scales is None else stored_scales[rows]
            if self.device.type == "cpu":
                self._add_piece(held, scales, stored, some, added, rows)
            else:
                _on_gpu().submit(self._add_piece, held, scales, stored, some, added, rows).result()

    def _add_piece(
        self,
        held: torch.Tensor,
        scales: torch.Tensor | None,
        stored: torch.Tensor,
        some: torch.Tensor | None,
        added: Sequence[Product],
        rows: slice,
    ) -> None:
        scale_dtype = None if scales is None else scales.dtype
        there = stored.to(self.device)
        fresh, fresh_scales = merged(there, some, added, rows, held.dtype, scale_dtype)
        held[rows].copy_(fresh)
        if scales is not None and fresh_scales is not None:
            scales[rows].copy_(fresh_scales)

    def restore(self, tensor: str, held: torch.Tensor) -> None:
        """Write what the file has."""
        for rows in pieces(held.shape[0], held.shape[1], self._most):
            held[rows].copy_(self._read(tensor, rows))

    def prove(
        self,
        tensor: str,
        products: Sequence[Product],
        held: torch.Tensor,
        scales: torch.Tensor | None,
    ) -> None:
        """Hold some of what was written against the file.

        Raises:
            NotAsPlanned: a row isn't what it has to be.
        """
        rows = some_rows(len(held))
        stored_scales = self._stored_scales(tensor, scales)
        stored = [self.originals.rows(tensor, slice(row, row + 1)) for row in rows]
        prove_rows(
            tensor,
            rows,
            _some(held, rows),
            None if scales is None else _some(scales, rows),
            torch.cat(stored),
            None if stored_scales is None else stored_scales[rows],
            products,
        )

    def _stored_scales(self, tensor: str, scales: torch.Tensor | None) -> torch.Tensor | None:
        return None if scales is None else self.originals.rows(tensor + SCALE).view(-1, 1)

    def _read(self, tensor: str, rows: slice) -> torch.Tensor:
        return self.originals.rows(tensor, rows, pinned=self.device.type == "cuda")


@cache
def _on_gpu() -> ThreadPoolExecutor:
    """One thread for all that is computed there: cuBLAS keeps a workspace for each thread that ever
    used it. With eight of them a merge left 0.75 GiB behind on an H200 (2026-11-29), which every
    later peak had on top."""
    return ThreadPoolExecutor(1, "gpu-merge")


def _some(values: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """On the CPU; one by one, because not every device picks rows of every type."""
    return torch.cat([values[row : row + 1].to("cpu") for row in rows])
