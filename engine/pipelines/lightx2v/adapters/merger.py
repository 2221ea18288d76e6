"""Merges LoRAs into a loaded transformer's weights, in place, and takes them out again.

LightX2V applies one LoRA while it computes: each step then takes longer and holds up to 2 GB more,
a LoRA over some of the blocks is computed with other blocks' weights, and another one needs a new
transformer. Merged, a step takes what it took, and nothing more is held. What a tensor was before
is read from its file again, so that one without LoRAs has every bit of the file.

What has happened is kept by tensor: after a cancel or an error the next clip goes on from there.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch

from engine.pipelines.lightx2v.adapters.changes import Changes, Recipe, Wanted
from engine.pipelines.lightx2v.adapters.held import Held
from engine.pipelines.lightx2v.adapters.writer import SCALE, Writer

log = logging.getLogger("headroom.adapters")

THREADS = min(8, os.cpu_count() or 1)
SMALL = 2**20  # values; of what is smaller the bits of before are kept in RAM
PROVED = 8  # tensors of which rows are looked at afterwards, about
UNKNOWN: Recipe = (("", 0.0),)  # of a tensor that somebody was at when it ended


@dataclass(frozen=True)
class Merge:
    """What a ``Merger`` did: tensors that were written, those of the files that the model has no
    place for, and seconds."""

    written: int
    left_out: int
    seconds: float


class Merger:
    """One transformer's. Its tensors must be its files' own until this is made.

    Args:
        held: its tensors by their names in the checkpoint (``held.held_tensors``).
        writer: of the files that it was loaded from.
    """

    def __init__(self, held: Mapping[str, Held], writer: Writer) -> None:
        self._held, self._writer = held, writer
        self._recipes: dict[str, Recipe] = {}
        self._kept: dict[str, torch.Tensor] = {}

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that aren't as their files have them."""
        return frozenset(self._recipes)

    def holds(self, changes: Changes) -> bool:
        """Whether just these are merged."""
        return not self._todo(changes)

    def merge(
        self,
        wanted: Sequence[Wanted],
        check: Callable[[], None] = lambda: None,
        told: Callable[[float], None] = lambda _: None,
    ) -> Merge:
        """Have just ``wanted`` in the weights: what else is there is taken out.

        Args:
            check: raises to end it; called between tensors. What is done by then is known.
            told: hears which share is done.

        Raises:
            AdapterError: a file can't be read, or changes nothing of this model.
            OSError: an original can't be read.
            NotAsPlanned: something else than wanted came of it.
        """
        return self.have(Changes(wanted, self._writer.originals), check, told)

    def have(
        self,
        changes: Changes,
        check: Callable[[], None] = lambda: None,
        told: Callable[[float], None] = lambda _: None,
    ) -> Merge:
        """As ``merge``, with what files change."""
        began = time.perf_counter()
        if self._writer.device.type == "cuda":
            torch.cuda.synchronize()  # copies of what is about to change
        todo = self._todo(changes)
        self._all(todo, changes, check, told)
        try:
            for tensor in todo[:: max(1, len(todo) // PROVED)]:
                self._prove(tensor, changes)
        except Exception:  # none of it is trusted, so that the next clip writes it anew
            self._recipes.update(dict.fromkeys(todo, UNKNOWN))
            raise
        seconds = time.perf_counter() - began
        log.info("%d tensors merged in %.2f s, %d left out", len(todo), seconds, changes.left_out)
        return Merge(len(todo), changes.left_out, seconds)

    # ---- what to do ------------------------------------------------------------------------

    def _todo(self, changes: Changes) -> list[str]:
        """In the order of the files, because those may have to be read."""
        touched = {*changes.tensors, *self._recipes}
        differ = (t for t in touched if changes.recipe(t) != self._recipes.get(t, ()))
        return sorted(differ, key=_in_order)

    def _all(
        self,
        todo: Sequence[str],
        changes: Changes,
        check: Callable[[], None],
        told: Callable[[float], None],
    ) -> None:
        pool = ThreadPoolExecutor(
            THREADS, "merge", initializer=torch.set_num_threads, initargs=(1,)
        )
        ahead = iter(todo)
        running: set[Future[None]] = set()
        done = 0
        try:
            while done < len(todo):
                check()
                while len(running) < THREADS and (tensor := next(ahead, None)) is not None:
                    running.add(pool.submit(self._write, tensor, changes))
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                done += len(finished)
                told(done / len(todo))
        finally:
            pool.shutdown()  # those that are being written are finished first

    # ---- one tensor ------------------------------------------------------------------------

    def _write(self, tensor: str, changes: Changes) -> None:
        held, scales = self._writer.parts(tensor, self._held)
        clean = tensor not in self._recipes
        if clean:
            for name, small in ((tensor, held), (tensor + SCALE, scales)):
                if small is not None and small.numel() < SMALL:
                    self._kept.setdefault(name, small.to("cpu", copy=True))
        self._recipes[tensor] = UNKNOWN
        if recipe := changes.recipe(tensor):
            self._writer.add(tensor, changes.products(tensor), held, scales, clean)
            self._recipes[tensor] = recipe
        else:
            self._put_back(tensor, held, scales)
            del self._recipes[tensor]

    def _put_back(self, tensor: str, held: torch.Tensor, scales: torch.Tensor | None) -> None:
        if scales is not None:
            scales.copy_(self._kept[tensor + SCALE])
        if tensor in self._kept:
            held.copy_(self._kept[tensor])
        else:
            self._writer.restore(tensor, held)

    def _prove(self, tensor: str, changes: Changes) -> None:
        self._writer.prove(
            tensor, changes.products(tensor), *self._writer.parts(tensor, self._held)
        )


def _in_order(tensor: str) -> tuple[int, str]:
    parts = tensor.split(".")
    return (int(parts[1]) if parts[0] == "blocks" else -1), tensor
