"""Reads files into the system's cache ahead of whoever maps them.

A mapped file is read page by page as it is touched, far below what a drive can do; here a few
threads ask for large pieces, in the order in which they will be wanted. The transformer comes first
and the text encoder when it wakes: the drive is what both wait for, so beside each other neither
would be sooner.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engine.machine.memory import sample_host
from engine.pipelines.lightx2v.pinning import PinnedArena
from engine.plan.choice import Plan
from engine.plan.host_memory import ONE_EXPERT, host_need
from engine.presets import ModelPreset
from engine.units import GIB
from engine.weights.checkpoint import NON_BLOCK, Checkpoint

log = logging.getLogger("headroom.read_ahead")

READERS = 4  # threads: a drive answers several at once
PIECE = 16 * 2**20  # bytes
SPARE = 2 * GIB  # of RAM, for what everybody else reads


class ReadAhead:
    """Within it threads read; a piece that is being read at the end is finished.

    Args:
        files: in the order in which they will be used; what can't be read is left to its user.
        used: how many bytes of them all were used by now; any thread may ask.
        ahead: so many bytes may be read and not yet used.
    """

    def __init__(
        self, files: Sequence[Path], used: Callable[[], int] = lambda: 0, ahead: float = math.inf
    ) -> None:
        self._used, self._ahead = used, ahead
        self._pieces, self._taking = _pieces(files), threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, name=f"read ahead {n}", daemon=True)
            for n in range(READERS if files else 0)
        ]

    def __enter__(self) -> "ReadAhead":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def join(self) -> None:
        """Wait until all is read."""
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        buffer = bytearray(PIECE)
        while not self._ended.is_set():
            with self._taking:
                piece = next(self._pieces, None)
            if piece is None:
                return
            file, offset, before = piece
            while before - self._used() > self._ahead:
                if self._ended.wait(0.02):
                    return
            try:
                with file.open("rb", buffering=0) as opened:
                    opened.seek(offset)
                    opened.readinto(buffer)
            except OSError as error:
                log.info("%s isn't read ahead: %s", file, error)


def transformer_ahead(
    checkpoint: Checkpoint, arena: PinnedArena | None, plan: Plan, preset: ModelPreset
) -> ReadAhead:
    """The transformer's blocks in their order, as far ahead as there is RAM beyond what ``plan``
    takes; nothing where they don't wait in ``arena``."""
    room = sample_host(None).available - host_need(preset, str(plan["offload"].value)) - SPARE
    if arena is None or room < PIECE * READERS:
        return ReadAhead([])
    waiting = 1 if plan["offload"].value == ONE_EXPERT else preset.experts
    files = list(checkpoint.transformers[:waiting])
    if checkpoint.layout == "blocks":
        names = (NON_BLOCK, *(f"block_{index}.safetensors" for index in range(preset.layers)))
        files = [file / name for file in files for name in names]
    return ReadAhead(files, lambda: arena.filled, room)


def _pieces(files: Sequence[Path]) -> Iterator[tuple[Path, int, int]]:
    """Each file's pieces: where they begin in it, and how many bytes of all files come before."""
    before = 0
    for file in files:
        try:
            size = os.path.getsize(file)
        except OSError:
            continue
        for offset in range(0, size, PIECE):
            yield file, offset, before + offset
        before += size
