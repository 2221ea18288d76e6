"""The VAE: tiles of a clip, a few frames at a time. What it knows of the frames before it keeps
itself, so that the pieces of a tile are to the bit what the whole would be."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.seedvr.files import Weights, check
from engine.pipelines.seedvr.pieces import starts, weights
from engine.pipelines.seedvr.repairs import VAE as PACKAGE

SCALE = 0.9152  # between its latents and the network's (attn_video_vae.py:1559)
EIGHTH, FOURTH = 8, 4  # pixels and frames of one latent
CHANNELS = 16
TILE, SHARE = 64, 8  # latents: 512 pixels, of which two tiles share 64
# GiB of one convolution's input, above which it goes by parts (causal_inflation_lib.py:71). Without
# one each keeps a view of all that it saw instead of its last frames.
CONVOLUTION = 0.5

Watch = Callable[[float], None]


class Vae:
    """LightX2V's, with the weights of ``file``.

    Raises:
        PipelineError: ``file`` is another one, or can't be read.
    """

    def __init__(self, file: Path, device: torch.device, tile: int = TILE) -> None:
        package = importlib.import_module(PACKAGE)
        self._states = importlib.import_module(f"{PACKAGE}.attn_video_vae").MemoryState
        self._device, self._tile, self._share = device, tile, min(SHARE, tile // 4)
        # Filled by the file alone: its constructor draws everything twice at random, and what a
        # file lacks would silently stay so.
        with torch.device("meta"):
            self._vae = package.attn_video_vae_v3_s8_c16_t4_inflation_sd3_init(
                device="meta", dtype=torch.bfloat16
            )
        empty = self._vae.state_dict()
        check(file, {name: tuple(tensor.shape) for name, tensor in empty.items()})
        read = Weights(file, torch.bfloat16, torch.device("cpu"))
        filled = {name: read[name] for name in empty}
        torch.nn.Module.load_state_dict(self._vae, filled, strict=True, assign=True)
        self._vae.eval().requires_grad_(False)
        self._vae.set_causal_slicing(split_size=FOURTH, memory_device="same")
        self._vae.set_memory_limit(CONVOLUTION, CONVOLUTION)

    def move(self, there: bool) -> None:
        """To its device, or back into RAM."""
        # As a plain module: diffusers' own warns each time of dtypes that nothing here has.
        torch.nn.Module.to(self._vae, self._device if there else "cpu")

    def close(self) -> None:
        """Let go of what it kept of frames: an error leaves some."""
        self._vae.clear_causal_memory()

    def encode(
        self, frames: Callable[[int, int], torch.Tensor], shape: tuple[int, int, int], watch: Watch
    ) -> torch.Tensor:
        """The network's latents of a clip, float32 [16, latent frames, rows, columns] on the CPU.

        Args:
            frames: those from one number until before another, [3, frames, height, width] in -1
                to 1; asked for again for each tile.
            shape: frames (4n + 1), height and width (multiples of 8).
            watch: called before each piece with the part that is done; what it raises ends it.
        """
        count, high, wide = shape
        deep, rows, columns = (count - 1) // FOURTH + 1, high // EIGHTH, wide // EIGHTH
        found = torch.zeros(CHANNELS, deep, rows, columns)
        steps = _pieces(count, 1 + FOURTH, FOURTH)
        for piece in self._walk(steps, rows, columns, 1, watch):
            part = frames(piece.begin, piece.end)[:, :, piece.pixels[0], piece.pixels[1]]
            with torch.inference_mode():
                made = self._vae._encode(self._given(part), piece.state)
            # Of mean and spread the first, as in LightX2V (vae_encode: the mode).
            latents = made[0, :CHANNELS].float().cpu()
            first = (piece.begin + FOURTH - 1) // FOURTH
            at = slice(first, first + latents.shape[1]), *piece.latents
            found[:, at[0], at[1], at[2]] += latents * piece.weight
        return found * SCALE

    def decode(self, latents: torch.Tensor, watch: Watch) -> torch.Tensor:
        """The pictures, float16 [3, frames, height, width] in -1 to 1 on the CPU; arguments as for
        ``encode``."""
        deep, rows, columns = latents.shape[1:]
        count = (deep - 1) * FOURTH + 1
        found = torch.zeros(3, count, rows * EIGHTH, columns * EIGHTH, dtype=torch.float16)
        for piece in self._walk(_pieces(deep, 2, 1), rows, columns, EIGHTH, watch):
            part = latents[:, piece.begin : piece.end, piece.latents[0], piece.latents[1]] / SCALE
            with torch.inference_mode():
                made = self._vae._decode(self._given(part), piece.state)[0]
            weighed = (made.float() * piece.weight.to(self._device)).half().cpu()
            first = 0 if piece.begin == 0 else (piece.begin - 1) * FOURTH + 1
            at = slice(first, first + made.shape[1]), *piece.pixels
            found[:, at[0], at[1], at[2]] += weighed
        return found

    def _given(self, part: torch.Tensor) -> torch.Tensor:
        return part[None].to(self._device, torch.bfloat16)

    def _walk(
        self, steps: list[tuple[int, int]], rows: int, columns: int, times: int, watch: Watch
    ) -> Iterator["_Piece"]:
        """Every piece of every tile, tile by tile; between them nothing is kept.

        Args:
            steps: from which frame, or latent, until before which, in their order.
            rows, columns: latents of the whole.
            times: places a latent at which a tile is weighed, on each side.
        """
        states = self._states
        tiles = [*product(self._tiles(rows, times), self._tiles(columns, times))]
        for number, ((down, high), (across, wide)) in enumerate(tiles):
            latents, pixels = (down, across), (_times(down, EIGHTH), _times(across, EIGHTH))
            for index, (begin, end) in enumerate(steps):
                watch((number + index / len(steps)) / len(tiles))
                state = states.ACTIVE if index else states.INITIALIZING
                state = states.DISABLED if len(steps) == 1 else state
                yield _Piece(begin, end, latents, pixels, high[:, None] * wide, state)
            self.close()

    def _tiles(self, side: int, times: int) -> list[tuple[slice, torch.Tensor]]:
        """Of one side of so many latents: where each tile is, and what it counts at each place."""
        begins = starts(side, self._tile, self._share)
        counts = weights([times * one for one in begins], times * self._tile, times * side)
        ends = (begin + min(self._tile, side) for begin in begins)
        return [(slice(*at), count) for *at, count in zip(begins, ends, counts, strict=True)]


@dataclass(frozen=True)
class _Piece:
    """Some frames of a tile, or latents: those from ``begin`` until before ``end``. ``latents`` and
    ``pixels``: where the tile is, ``weight`` what it counts there; ``state``: the VAE's, of what it
    keeps."""

    begin: int
    end: int
    latents: tuple[slice, slice]
    pixels: tuple[slice, slice]
    weight: torch.Tensor
    state: Any


def _times(at: slice, times: int) -> slice:
    return slice(at.start * times, at.stop * times)


def _pieces(total: int, first: int, then: int) -> list[tuple[int, int]]:
    """The VAE's own steps: the first frame stands for itself, each latent after it for four."""
    ends = [min(first, total), *range(first + then, total + 1, then)]
    return [*pairwise([0, *ends])]
