"""Finds a loaded transformer's tensors by their names in the checkpoint.

LightX2V keeps each under one of several names (pinned, resident), some of them turned over.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from engine.pipelines.lightx2v.proof import NotAsPlanned
from engine.text import Text

_BLOCK = re.compile(r"blocks\.\d+\.")


@dataclass(frozen=True)
class Held:
    """The tensor that ``owner`` keeps as ``attribute``."""

    owner: Any
    attribute: str

    @property
    def tensor(self) -> torch.Tensor:
        """As it is now: LightX2V puts others in its place when it moves weights."""
        for name in (f"pin_{self.attribute}", self.attribute):
            found = getattr(self.owner, name, None)
            if isinstance(found, torch.Tensor):
                return found
        raise NotAsPlanned(Text("proof.no_weights", place=self.attribute))

    def rows(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The same memory as [rows, values of each]; what has one side only is one row.

        Args:
            shape: that of the tensor in the checkpoint's file.

        Raises:
            NotAsPlanned: it is held in another form.
        """
        held = self.tensor
        if held.ndim == 2 and not (held.is_contiguous() and tuple(held.shape) == shape):
            held = held.t()
        if not held.is_contiguous() or held.numel() != math.prod(shape):
            raise NotAsPlanned(Text("proof.held_otherwise", place=self.attribute))
        return held.view(rows_of(shape), -1)


def rows_of(shape: tuple[int, ...]) -> int:
    """How many rows a tensor of this shape is seen as."""
    return shape[0] if len(shape) > 1 else 1


def held_tensors(model: Any) -> dict[str, Held]:
    """All of a transformer's, but for the buffers that blocks are copied to."""
    found = dict(_held(model.pre_weight))
    return found | dict(_held(model.transformer_weights))


def held_in_block(block: Any, index: int) -> dict[str, Held]:
    """Those of ``block``, which holds the block ``index`` whatever its tensors are called."""
    return {_BLOCK.sub(f"blocks.{index}.", name, 1): held for name, held in _held(block)}


def _held(module: Any) -> Iterator[tuple[str, Held]]:
    for name, part in (*module._modules.items(), *module._parameters.items()):
        if name.startswith("offload_") or part is None:
            continue
        if hasattr(part, "_modules"):
            yield from _held(part)
        elif hasattr(part, "base_attrs"):
            yield from ((stored, Held(part, held)) for stored, held, _ in part.base_attrs)
        elif hasattr(part, "tensor_name"):
            yield part.tensor_name, Held(part, "tensor")
