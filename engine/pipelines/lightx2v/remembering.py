"""The causal VAE's encoder, which needn't compute again what it has just computed.

It sees a video four frames at a time, and what its convolutions look back on is kept from one piece
to the next. Where frame after frame is the same, layer after layer comes to rest: what it keeps
doesn't change any more, and so neither does what it gives. In a clip that begins with a picture all
other frames are zeros: the layers at full size, where the work is, rest after a few of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

Cache = list[Any]  # what each convolution looks back on; None before the first piece


@contextmanager
def remembering(encoder: Any) -> Iterator[None]:
    """Within it LightX2V's ``encoder`` leaves out what is known to the bit.

    A layer is left out as long as it gets what it got, from a state that this leads back to: both
    are compared, tensor by tensor. Kernels have to be deterministic, which LightX2V asks of cuDNN
    for each clip (utils/utils.py:37).
    """
    known = _Known()
    layers = list(encoder.downsamples)
    encoder.conv1.forward = known.first(encoder.conv1.forward)
    for index, layer in enumerate(layers):
        layer.forward = known.layer(index, layer.forward)
    try:
        yield
    finally:
        for layer in (encoder.conv1, *layers):
            del layer.forward


class _Known:
    """What is known of the encoder's first layers: ``at_rest`` of them, the last of which gives
    ``out``. Nothing else is kept, for it would count in the peak."""

    def __init__(self) -> None:
        self.given: tuple[torch.Tensor, torch.Tensor | None] | None = None
        self.same, self.at_rest, self.out = False, 0, torch.empty(0)
        self.caches: list[int] = []  # how many each layer at rest has

    def first(self, forward: Any) -> Any:
        """In place of the convolution before the layers, whose state is handed to it."""

        def convolved(x: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
            self.same = self.given is not None and all(map(_alike, (x, before), self.given))
            if not self.same:
                self.at_rest, self.out, self.caches = 0, torch.empty(0), []
                self.given = x, before
            # Whoever is left out doesn't look at what it is given.
            found: torch.Tensor = x if self.at_rest else forward(x, before)
            return found

        return convolved

    def layer(self, index: int, forward: Any) -> Any:
        """In place of a layer."""

        def computed(x: torch.Tensor, cache: Cache, at: list[int]) -> torch.Tensor:
            if index < self.at_rest:
                at[0] += self.caches[index]
                return self.out if index == self.at_rest - 1 else x
            begin, before = at[0], list(cache)
            found: torch.Tensor = forward(x, cache, at)
            if self.same and index == self.at_rest:
                mine = slice(begin, at[0])
                if all(map(_alike, cache[mine], before[mine])):
                    self.at_rest, self.out = index + 1, found
                    self.caches.append(at[0] - begin)
            return found

        return computed


def _alike(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return False
    return one is other or (one.shape == other.shape and torch.equal(one, other))
