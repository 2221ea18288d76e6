"""LoRAs in matrices that lie where the other transformer's lay, and come anew at each change.

They can't stay merged there. Each is merged when it has been read from its file, by the thread that
read it, while the step before computes. The rest of a transformer stays, and is merged once.
"""

from collections import defaultdict
from collections.abc import Mapping

import torch

from engine.pipelines.lightx2v.adapters.changes import Changes
from engine.pipelines.lightx2v.adapters.held import Held
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.streamed import PIECE
from engine.pipelines.lightx2v.adapters.writer import SCALE, Writer


class Arriving:
    """One transformer's.

    Args:
        held: by their names in the checkpoint its matrices, which come, and their scales, which
            stay.
        originals: the files that they come from.
        device: where to compute.
    """

    def __init__(
        self, held: Mapping[str, Held], originals: Originals, device: torch.device
    ) -> None:
        self._held = held
        self._writer = Writer(originals, device, None if device.type == "cpu" else PIECE)
        self._blocks: dict[int, list[str]] = defaultdict(list)
        for name in held:
            if not name.endswith(SCALE):
                self._blocks[int(name.split(".")[1])].append(name)
        # One object, because readers take it while it is changed.
        self._state = 0, Changes((), originals)
        self._scales: dict[str, torch.Tensor] = {}  # as they were, of those that are changed

    @property
    def version(self) -> int:
        """Another one for each change: what came before it has to come again."""
        return self._state[0]

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that aren't as their files have them, or won't be once they come."""
        return frozenset(self._scales.keys() | self._state[1].tensors.keys())

    def have(self, changes: Changes) -> bool:
        """Merge ``changes`` into whatever comes from now on; returns whether that is new."""
        version, before = self._state
        here = changes.within(self._held)
        names = here.tensors.keys() | before.tensors.keys()
        if all(here.recipe(name) == before.recipe(name) for name in names):
            return False
        self._state = version + 1, here
        return True

    def arrived(self, block: int) -> int:
        """The matrices of ``block`` are as their file has them: merge what is wanted into them.

        Returns:
            the ``version`` that they have now.

        Raises:
            OSError: a LoRA or a scale can't be read.
            NotAsPlanned: something else than wanted came of it.
        """
        version, changes = self._state
        for name in self._blocks[block]:
            products = changes.products(name)
            held, scales = self._writer.parts(name, self._held)
            assert scales is not None
            if products:
                self._scales.setdefault(name, scales.to("cpu", copy=True))
                self._writer.add(name, products, held, scales, clean=True)
            elif name in self._scales:
                scales.copy_(self._scales.pop(name))
            if products and block == 0:
                self._writer.prove(name, products, held, scales)
        return version
