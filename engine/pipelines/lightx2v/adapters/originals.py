"""Reads single rows of a checkpoint's tensors from its files, without mapping them.

A mapped file is read page by page, far below what a drive can do; here each piece is one request.
"""

import errno
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.lightx2v.adapters.held import rows_of
from engine.weights.checkpoint import NON_BLOCK, Layout
from engine.weights.header_check import BLOCK_KEY
from engine.weights.safetensors_header import FileHeader, TensorHeader, read_file_header

DTYPES = {
    "F8_E4M3": torch.float8_e4m3fn,
    "I8": torch.int8,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
}


class Originals:
    """The tensors of a transformer: ``place`` is a folder (blocks) or a file (single)."""

    def __init__(self, place: Path, layout: Layout) -> None:
        self._place, self._blocks = place, layout == "blocks"
        self._header = lru_cache(None)(read_file_header)

    def header(self, name: str) -> TensorHeader | None:
        """What the file says of the tensor ``name``; None where it has none."""
        return self._of(name)[1].tensors.get(name)

    def dtype(self, name: str) -> torch.dtype:
        found = self.header(name)
        assert found is not None
        return DTYPES[found.dtype]

    def rows(self, name: str, rows: slice | None = None, pinned: bool = False) -> torch.Tensor:
        """[rows, values] of the tensor ``name`` as the file has them.

        Args:
            rows: which; all without.
            pinned: into memory that a GPU reads quickly.

        Raises:
            OSError: they can't be read.
        """
        file, header = self._of(name)
        found = header.tensors[name]
        count = rows_of(found.shape)
        each = (found.end - found.start) // max(count, 1)
        begin, end, _ = (rows or slice(None)).indices(count)
        raw = torch.empty((end - begin) * each, dtype=torch.uint8, pin_memory=pinned)
        with file.open("rb", buffering=0) as opened:
            opened.seek(header.data + found.start + begin * each)
            array: Any = raw.numpy()
            view, had = memoryview(array), 0
            while had < len(view):
                read = opened.readinto(view[had:])
                if not read:
                    read_file_header(file)  # it ends early by now, and this says so
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
                had += read
        return raw.view(DTYPES[found.dtype]).view(end - begin, -1)

    def _of(self, name: str) -> tuple[Path, FileHeader]:
        if not self._blocks:
            return self._place, self._header(self._place)
        inside = BLOCK_KEY.match(name)
        file = self._place / (f"block_{inside[1]}.safetensors" if inside else NON_BLOCK)
        return file, self._header(file)
