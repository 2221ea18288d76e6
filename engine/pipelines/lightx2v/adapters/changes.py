"""What the LoRAs of a request add to which tensor of a transformer."""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from engine.adapters.lora_file import AdapterError, Change, read_lora
from engine.adapters.pairs import Noise
from engine.pipelines.lightx2v.adapters.arithmetic import Product
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.text import Text

Recipe = tuple[tuple[str, float], ...]  # SHA-256 and strength of all that is in a tensor


@dataclass(frozen=True)
class Wanted:
    """A LoRA's file, and how strongly it counts."""

    path: Path
    sha256: str
    strength: float


class Changes:
    """What each of ``wanted`` does to which tensor of ``originals``; ``left_out``: how many changes
    have no place there.

    Args:
        noise: which of Wan 2.2's transformers they are for; None where there is one.

    Raises:
        AdapterError: a file can't be read, or changes nothing of this model.
    """

    def __init__(
        self, wanted: Sequence[Wanted], originals: Originals, noise: Noise | None = None
    ) -> None:
        self._originals = originals
        self.tensors: dict[str, dict[Wanted, list[Change]]] = {}
        self.left_out = 0
        for one in wanted:
            lora = read_lora(one.path)
            own = [change for change in lora.changes if change.noise in (None, noise or "high")]
            fitting = [change for change in own if _fits(change, originals)]
            if own and not fitting:
                raise AdapterError(
                    Text("adapters.changes_nothing", file=one.path.name),
                    Text("adapters.choose_for_wan"),
                )
            self.left_out += len(lora.unknown) + len(own) - len(fitting)
            for change in fitting:
                of_tensor = self.tensors.setdefault(change.tensor, {})
                of_tensor.setdefault(one, []).append(change)

    def within(self, names: Container[str]) -> "Changes":
        """Those of the tensors ``names``."""
        some = Changes((), self._originals)
        some.tensors = {name: what for name, what in self.tensors.items() if name in names}
        return some

    def recipe(self, tensor: str) -> Recipe:
        found = self.tensors.get(tensor, {})
        return tuple((one.sha256, one.strength) for one in found)

    def products(self, tensor: str) -> list[Product]:
        """What is added to ``tensor``, with all strengths in it."""
        return [
            _product(one, change)
            for one, changes in self.tensors.get(tensor, {}).items()
            for change in changes
        ]


def _product(one: Wanted, change: Change) -> Product:
    opened: Any = safe_open(one.path, framework="pt", device="cpu")
    with opened as file:
        if change.diff is not None:
            whole = file.get_tensor(change.diff).float()
            rows = whole.shape[0] if whole.ndim > 1 else 1
            return Product(whole.reshape(rows, -1) * one.strength)
        down = file.get_tensor(change.down).float().flatten(1)
        up = file.get_tensor(change.up).float().flatten(1)
    return Product(up * (one.strength * change.scale), down)


def _fits(change: Change, originals: Originals) -> bool:
    header = originals.header(change.tensor)
    return header is not None and _same(change, header.shape)


def _same(change: Change, shape: tuple[int, ...]) -> bool:
    if change.diff is None:
        return len(shape) > 1 and change.shape == (shape[0], math.prod(shape[1:]))
    theirs = tuple(side for side in change.shape if side != 1)
    return theirs == tuple(side for side in shape if side != 1)
