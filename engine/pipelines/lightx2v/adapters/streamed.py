"""LoRAs in a transformer whose blocks are read from the disk for every step.

There is no place where they would stay merged, and a second checkpoint on the disk would be as
large as the first for each choice of LoRAs. Each block is merged in the buffer that it is read
into, by the thread that reads it, while the block before it computes.
"""

from collections.abc import Sequence
from typing import Any

import torch

from engine.adapters.pairs import Noise
from engine.pipelines.lightx2v.adapters.changes import Changes, Wanted
from engine.pipelines.lightx2v.adapters.held import held_in_block, held_tensors
from engine.pipelines.lightx2v.adapters.merger import Merger
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.writer import Writer

PIECE = 2**20  # values: beside a step it may take little of the GPU, 10 MB and a tensor's ``down``


class Streamed:
    """One run's transformer, before it computes."""

    def __init__(self, model: Any, originals: Originals, device: torch.device) -> None:
        self._model, self._originals = model, originals
        self._writer = Writer(originals, device, None if device.type == "cpu" else PIECE)

    def have(self, wanted: Sequence[Wanted], noise: Noise | None) -> None:
        """Merge ``wanted`` into each block once it is read, and into the rest now; ``noise`` as
        in ``Changes``.

        Raises:
            AdapterError: a file can't be read, or changes nothing of this model.
        """
        if not wanted:
            return
        changes = Changes(wanted, self._originals, noise)
        beside = held_tensors(self._model)
        beside = {name: held for name, held in beside.items() if not name.startswith("blocks.")}
        Merger(beside, self._writer).have(changes.within(beside))
        buffers = self._model.transformer_weights.offload_block_cpu_buffers
        for index, buffer in enumerate(buffers):
            self._merge(buffer, index, changes, proved=True)  # what it was made with
            self._follow(buffer, changes)

    def _follow(self, buffer: Any, changes: Changes) -> None:
        read = buffer.load_state_dict_from_disk

        def reading(block: int, *rest: Any) -> None:
            read(block, *rest)
            self._merge(buffer, block, changes)

        buffer.load_state_dict_from_disk = reading

    def _merge(self, buffer: Any, block: int, changes: Changes, proved: bool = False) -> None:
        held = held_in_block(buffer, block)
        for tensor in held.keys() & changes.tensors.keys():
            parts, products = self._writer.parts(tensor, held), changes.products(tensor)
            self._writer.add(tensor, products, *parts, clean=True)
            if proved:
                self._writer.prove(tensor, products, *parts)
