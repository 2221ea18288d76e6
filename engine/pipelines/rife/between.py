"""Frames between a clip's own by RIFE (``smooth.base.Interpolator``)."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from engine.pipelines.base import Frame
from engine.pipelines.cuda import told_errors
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.rife.network import forget_sizes, open_between
from engine.pipelines.smooth.base import pairs, unchecked
from engine.pipelines.weight_files import parts_of
from engine.presets import ModelPreset
from engine.timing import Timing


class Rife:
    """Reads the weights, 23 MB, and gives them back after ``frames``.

    Raises:
        WeightsMissing: the file isn't there.
        PipelineError: it is another one, or LightX2V can't be imported.
    """

    def __init__(self, preset: ModelPreset) -> None:
        self._device = torch.device(import_lightx2v())
        file = parts_of(preset)["interpolator"]
        with told_errors():
            self._between = open_between(file, preset, self._device)

    def frames(
        self, source: Iterable[Frame], timing: Timing, check: Callable[[], None] = unchecked
    ) -> Iterator[Frame]:
        """As ``Interpolator.frames``.

        Raises:
            OutOfMemory, Broken: as ``Pipeline.generate``.
        """
        try:
            for pair in pairs(source, timing):
                sides: tuple[torch.Tensor, torch.Tensor] | None = None
                for share in pair.shares.values():
                    check()
                    if not (share and pair.moves):
                        yield pair.nearer(share)
                        continue
                    with told_errors():
                        sides = sides or (self._taken(pair.before), self._taken(pair.after))
                        made = _given_back(self._between(*sides, float(share)))
                    yield made
        finally:
            forget_sizes()

    def _taken(self, frame: Frame) -> torch.Tensor:
        picture = torch.from_numpy(np.ascontiguousarray(frame)).to(self._device)
        return picture.permute(2, 0, 1)[None].float() / 255


def _given_back(picture: torch.Tensor) -> Frame:
    """From float [1, 3, height, width] to the nearest bytes [height, width, 3]."""
    rounded = (picture[0].permute(1, 2, 0) * 255).round_().clamp_(0, 255)
    return np.asarray(rounded.to(torch.uint8).cpu().numpy())
