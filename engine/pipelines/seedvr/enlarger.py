"""A clip's pictures made larger: encode, one step of the network, decode."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from engine.pipelines.base import Frame
from engine.pipelines.seedvr.colour import as_in
from engine.pipelines.seedvr.network import Network
from engine.pipelines.seedvr.pieces import noise, starts, weights
from engine.pipelines.seedvr.vae import FOURTH, TILE, Vae
from engine.pipelines.smooth.cuts import is_cut, look_at
from engine.stages import Stage
from engine.units import GIB

GRID = 16  # pixels: of the VAE's latents the network takes two by two
SHARE = 2  # latent frames that two windows share: with fewer their seam shows
LEAST = 5  # latent frames of a window: with fewer most would be shared
SEAM = 9  # frames that two parts share
LEAST_PART = 21  # frames
AT_ONCE = 4  # frames whose floats are on the device beside the VAE's


class Steps(Protocol):
    """Who wants to know how far it is, and may end it: three of ``base.Run``'s, and ``part``."""

    def part(self, begin: float, share: float) -> None:
        """From now on it is a part of the clip, which begins there and is so much of it: 0 to 1."""

    def stage(self, stage: Stage, steps: int = 0) -> None: ...

    def advance(self, fraction: float, step: int = 0) -> None: ...

    def check(self) -> None: ...


@dataclass(frozen=True)
class Most:
    """What there is at once of any clip, which bounds VRAM and RAM.

    ``tokens``: of a window, each of 16 × 16 pixels and 4 frames. ``held``: bytes of RAM that a clip
    takes, as it was and as it becomes; a longer one is made in parts, whose seams are blended, and
    so is one of several scenes, without.
    """

    tokens: int = 75_000
    held: int = 4 * GIB


class SeedVr:
    """The network and the VAE, with the weights of two files.

    Args:
        offload: as for ``Network``.
        tile: latents on each side of what the VAE takes at once.
        shape: as for ``Network``.

    Raises:
        PipelineError: a file is another one, or can't be read.
    """

    def __init__(
        self,
        transformer: Path,
        vae: Path,
        device: torch.device,
        offload: str,
        most: Most | None = None,
        tile: int = TILE,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        self._device, self._most = device, most or Most()
        self._network = Network(transformer, device, offload, shape)
        self._vae = Vae(vae, device, tile)

    def enlarge(
        self,
        frames: Iterable[Frame],
        count: int,
        height: int,
        width: int,
        seed: int,
        steps: Steps,
    ) -> Iterator[Frame]:
        """``count`` frames of ``height`` × ``width`` pixels, as many as ``frames`` has, in their
        order. The same clip, size and seed give the same frames."""
        source, tail, begin = iter(frames), list[Frame](), 0
        held = [*islice(source, 1)]
        long = self._part_of(held[0], height, width) if held else 0
        try:
            while held and begin < count:
                held += islice(source, max(0, min(long, count - begin) - len(held)))
                scene = held[: _first_cut(held)]
                ends = len(scene) < len(held) or len(held) < long or begin + long >= count
                own = len(scene) if ends else len(scene) - SEAM
                steps.part(begin / count, own / count)
                part = _Part(scene, height, width, begin, self._device)
                ready = self._finished(part, self._made(part, seed, steps), tail)
                yield from islice(ready, own)
                tail, held, begin = [*ready], held[own:], begin + own
        finally:
            self._vae.close()

    def _part_of(self, frame: Frame, height: int, width: int) -> int:
        """How many frames are made at once, of the form 4n + 1."""
        # As bytes before, as half floats while tiles are added, and the tile that is.
        each = frame.size + 3 * height * width * 2 * 2
        return max(LEAST_PART, (self._most.held // each - 1) // FOURTH * FOURTH + 1)

    def _made(self, part: "_Part", seed: int, steps: Steps) -> torch.Tensor:
        """float16 [3, frames, height, width] in -1 to 1, with what was added to the sides."""

        def watch(fraction: float) -> None:
            steps.check()
            steps.advance(fraction)

        steps.stage("encode")
        self._vae.move(there=True)
        latents = self._vae.encode(part.frames, part.shape, watch)
        self._vae.move(there=False)
        latents = self._denoised(latents, part.begin // FOURTH, seed, steps)
        steps.stage("decode")
        self._vae.move(there=True)
        return self._vae.decode(latents, watch)

    def _denoised(self, latents: torch.Tensor, begin: int, seed: int, steps: Steps) -> torch.Tensor:
        """What the network makes of ``latents`` [16, frames, height, width], whose first is the
        clip's ``begin``-th of them."""
        deep, high, wide = latents.shape[1:]
        each = high * wide // 4
        long = min(deep, max(LEAST, self._most.tokens // each))
        begins = starts(deep, long, SHARE)
        counts = weights(begins, long, deep)
        steps.stage("denoise", len(begins))
        found = torch.zeros_like(latents)
        for number, (at, count) in enumerate(zip(begins, counts, strict=True)):
            window = slice(at, at + long)
            drawn = noise(seed, begin + at, long, (len(latents), high, wide)).movedim(1, 0)
            blocks = _Blocks(self._network.blocks, number, len(begins), steps)
            made = self._network.step(drawn, latents[:, window], blocks.begins)
            found[:, window] += made * count[:, None, None]
        return found

    def _finished(self, part: "_Part", made: torch.Tensor, before: list[Frame]) -> Iterator[Frame]:
        """Frames with the clip's own colours, cut to their size; the first ones blended with those
        that the part before made of them."""
        for begin in range(0, part.count, AT_ONCE):
            end = min(begin + AT_ONCE, part.count)
            known = part.frames(begin, end).movedim(1, 0)
            new = made[:, begin:end].movedim(1, 0).to(self._device).float()
            cut = as_in(new, known)[..., : part.height, : part.width]
            pictures = ((cut + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
            for index, frame in enumerate(pictures.permute(0, 2, 3, 1).cpu().numpy(), begin):
                yield _blended(before, index, np.ascontiguousarray(frame))


def _blended(before: list[Frame], index: int, frame: Frame) -> Frame:
    """From one part to the next, in a straight line over the frames that both have."""
    if index >= len(before):
        return frame
    share = (index + 1) / (len(before) + 1)
    mixed = before[index] * np.float32(1 - share) + frame * np.float32(share)
    return np.asarray(np.rint(mixed), np.uint8)


def _first_cut(frames: list[Frame]) -> int:
    """Where another scene begins, after the first frame; their number where none does. Seen at
    once, the network would take one scene into the other."""
    looks = map(look_at, frames)
    for index, (before, after) in enumerate(pairwise(looks), 1):
        if is_cut(before, after):
            return index
    return len(frames)


class _Blocks:
    """Tells of a window's blocks."""

    def __init__(self, blocks: int, window: int, windows: int, steps: Steps) -> None:
        self._blocks, self._window, self._windows, self._steps = blocks, window, windows, steps
        self._done = 0

    def begins(self) -> None:
        self._steps.check()
        share = (self._window + self._done / self._blocks) / self._windows
        self._steps.advance(share, self._window)
        self._done += 1


class _Part:
    """Some frames of a clip, as large as they are to be. ``begin``: which of the clip's the first
    is."""

    def __init__(
        self, frames: list[Frame], height: int, width: int, begin: int, device: torch.device
    ) -> None:
        self._frames, self._device = frames, device
        self.height, self.width, self.begin = height, width, begin
        self.count = len(frames)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames of the form 4n + 1, and sides on the grid."""
        count = -(-(self.count - 1) // FOURTH) * FOURTH + 1
        return count, _filled(self.height), _filled(self.width)

    def frames(self, begin: int, end: int) -> torch.Tensor:
        """Those, float32 [3, frames, height, width] in -1 to 1 on the device; behind the last one
        that comes again, and at the right and below what is at the edge."""
        some = [self._frames[min(index, self.count - 1)] for index in range(begin, end)]
        pictures = torch.from_numpy(np.stack(some)).to(self._device).permute(0, 3, 1, 2).float()
        size = self.height, self.width
        large = functional.interpolate(pictures, size, mode="bicubic", antialias=True)
        fill = (0, _filled(self.width) - self.width, 0, _filled(self.height) - self.height)
        large = functional.pad(large.clamp_(0, 255), fill, mode="replicate")
        return (large / 127.5 - 1).movedim(0, 1)


def _filled(side: int) -> int:
    return -(-side // GRID) * GRID
