"""The LoRAs of a pipeline: what its requests name is in the weights before a clip begins.

Where blocks wait in RAM or stay on the GPU they are merged there, once for each change. Where they
are read from the disk, for every step (``streamed``) or at the change of transformers
(``arriving``), they are merged as they come.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from engine.adapters.pairs import Noise
from engine.adapters.store import Adapters
from engine.home import Home
from engine.pipelines.base import Run
from engine.pipelines.lightx2v.adapters.arriving import Arriving
from engine.pipelines.lightx2v.adapters.changes import Changes, Wanted
from engine.pipelines.lightx2v.adapters.held import Held, held_tensors
from engine.pipelines.lightx2v.adapters.merger import Merger
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.streamed import Streamed
from engine.pipelines.lightx2v.adapters.writer import SCALE, Writer
from engine.plan.host_memory import ONE_EXPERT
from engine.presets import ModelPreset
from engine.request import ClipRequest


class Loras:
    """One transformer's. ``noise``: which of Wan 2.2's experts it is; None where there is one."""

    def __init__(self, noise: Noise | None = None) -> None:
        self._noise = noise
        self._wanted: tuple[Wanted, ...] = ()
        self._merger: Merger | None = None
        self._arriving: Arriving | None = None

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that aren't as their files have them."""
        parts = (part for part in (self._merger, self._arriving) if part is not None)
        return frozenset[str]().union(*(part.changed for part in parts))

    @property
    def version(self) -> int:
        """Of what is merged into blocks that come: another one for each change."""
        return self._arriving.version if self._arriving is not None else 0

    def arrived(self, block: int) -> int:
        """The matrices of ``block`` were read from their file; raises as ``Arriving.arrived``.

        Returns:
            the ``version`` that they have now.
        """
        return self._arriving.arrived(block) if self._arriving is not None else 0

    def loaded(self, model: Any, originals: Originals, device: str, offload: str) -> None:
        """``model`` has just been loaded from ``originals``. A lazy one is another for each run,
        perhaps in the middle of a clip: it gets what is wanted now."""
        where = torch.device(device)
        if offload == "lazy":
            Streamed(model, originals, where).have(self._wanted, self._noise)
            return
        held = held_tensors(model)
        if offload == ONE_EXPERT:
            coming = _coming(held)
            self._arriving = Arriving(coming, originals, where)
            held = {name: one for name, one in held.items() if name not in coming}
        self._originals, self._held = originals, held
        self._merger = Merger(held, Writer(originals, where))

    def change(self, request: ClipRequest, preset: ModelPreset, run: Run) -> bool:
        """Have just the LoRAs of ``request``; returns whether weights were written.

        Raises:
            AdapterError: one isn't there any more, or is for another model.
            Cancelled: between two tensors; the next change goes on from there.
        """
        self._wanted = self._chosen(request, preset)
        if self._merger is None:
            return False
        changes = Changes(self._wanted, self._originals, self._noise)
        new = self._arriving is not None and self._arriving.have(changes)
        here = changes.within(self._held)
        if self._merger.holds(here):
            return new
        run.stage("load")
        self._merger.have(here, run.check, run.advance)
        return True

    def _chosen(self, request: ClipRequest, preset: ModelPreset) -> tuple[Wanted, ...]:
        if not request.adapters:
            return ()
        files = Adapters(Home.find()).check(request.adapters, preset)
        found: Sequence[Wanted] = [
            Wanted(file.path, file.sha256, adapter.strength)
            for file, adapter in zip(files, request.adapters, strict=True)
            if self._noise is None or file.noise in (None, self._noise)
        ]
        return tuple(found)


def _coming(held: Mapping[str, Held]) -> dict[str, Held]:
    """The blocks' quantised matrices, which are read anew, with their scales, which aren't."""
    found: dict[str, Held] = {}
    for name, one in held.items():
        if name.startswith("blocks.") and name + SCALE in held:
            found |= {name: one, name + SCALE: held[name + SCALE]}
    return found
