"""The LoRAs of a pipeline: what its requests name is in the weights before a clip begins.

Where blocks wait in RAM or stay on the GPU they are merged there, once for each change. Where they
are read from the disk for every step, they are merged as they come (``streamed``).
"""

from collections.abc import Sequence
from typing import Any

import torch

from engine.adapters.pairs import Noise
from engine.adapters.store import Adapters
from engine.home import Home
from engine.pipelines.base import Run
from engine.pipelines.lightx2v.adapters.changes import Wanted
from engine.pipelines.lightx2v.adapters.held import held_tensors
from engine.pipelines.lightx2v.adapters.merger import Merger
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.streamed import Streamed
from engine.pipelines.lightx2v.adapters.writer import Writer
from engine.presets import ModelPreset
from engine.request import ClipRequest


class Loras:
    """One transformer's. ``noise``: which of Wan 2.2's experts it is; None where there is one."""

    def __init__(self, noise: Noise | None = None) -> None:
        self._noise = noise
        self._wanted: tuple[Wanted, ...] = ()
        self._merger: Merger | None = None

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that aren't as their files have them."""
        return self._merger.changed if self._merger is not None else frozenset()

    def loaded(self, model: Any, originals: Originals, device: str, lazy: bool) -> None:
        """``model`` has just been loaded from ``originals``. A lazy one is another for each run,
        perhaps in the middle of a clip: it gets what is wanted now."""
        if lazy:
            Streamed(model, originals, torch.device(device)).have(self._wanted)
        else:
            self._merger = Merger(held_tensors(model), Writer(originals, torch.device(device)))

    def change(self, request: ClipRequest, preset: ModelPreset, run: Run) -> bool:
        """Have just the LoRAs of ``request``; returns whether weights were written.

        Raises:
            AdapterError: one isn't there any more, or is for another model.
            Cancelled: between two tensors; the next change goes on from there.
        """
        self._wanted = self._chosen(request, preset)
        if self._merger is None or self._merger.holds(self._wanted):
            return False
        run.stage("load")
        self._merger.merge(self._wanted, run.check, run.advance)
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
