"""Text embeddings by prompt, in memory and on disk: a known prompt never wakes the 6.7 GB T5.

Neither seed nor size enters the text encoder, so that what it said once is exact for ever.
"""

import contextlib
import hashlib
import logging
import os
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

log = logging.getLogger("headroom.embeddings")

IN_MEMORY = 64  # prompts; 512 tokens of 4096 values take 4 MiB
ON_DISK = 512 * 2**20


class TextCache:
    """Rows [tokens, dim] of the prompts that one encoder has read."""

    def __init__(self, folder: Path, encoder: str, limit: int = ON_DISK) -> None:
        """
        Args:
            encoder: what else the embedding depends on: the checkpoint, its kernels' scheme.
            limit: bytes on disk; the prompts unused for longest go first.
        """
        self._folder, self._encoder, self._limit = folder, encoder, limit
        self._near: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, prompt: str) -> torch.Tensor | None:
        """The rows on the CPU, or None. A damaged file counts as unknown and is removed."""
        name = self._name(prompt)
        if name in self._near:
            self._near.move_to_end(name)
            return self._near[name]
        file = self._file(name)
        try:
            rows = load_file(file)["rows"]
        except FileNotFoundError:
            return None
        except (OSError, KeyError, SafetensorError) as error:
            log.warning("the embedding %s is damaged and will be made again: %s", file, error)
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # a disk that can only be read
            os.utime(file)
        self._keep(name, rows)
        return rows

    def put(self, prompt: str, rows: torch.Tensor) -> None:
        """Keep ``rows``; a disk that refuses costs the next start a moment, not this clip."""
        name, rows = self._name(prompt), rows.detach().to("cpu").contiguous()
        self._keep(name, rows)
        file = self._file(name)
        partial = file.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file({"rows": rows}, partial)
            partial.replace(file)
            self._trim()
        except (OSError, SafetensorError) as error:
            log.warning("the embedding could not be kept in %s: %s", self._folder, error)

    def _keep(self, name: str, rows: torch.Tensor) -> None:
        self._near[name] = rows
        while len(self._near) > IN_MEMORY:
            self._near.popitem(last=False)

    def _trim(self) -> None:
        files = sorted(self._folder.glob("*.safetensors"), key=lambda f: f.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        while files and total > self._limit:
            oldest = files.pop(0)
            total -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)

    def _name(self, prompt: str) -> str:
        return hashlib.sha256(f"{self._encoder}\0{prompt}".encode()).hexdigest()[:32]

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
