"""The VAE: tiles of a clip, a few frames at a time. What it knows of the frames before it keeps
itself, so that the pieces of a tile are to the bit what the whole would be."""

import importlib
from collections.abc import Callable, Iterator
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
        pieces = _pieces(count, 1 + FOURTH, FOURTH)
        tiles = [*self._tiles(rows, columns, 1)]
        for number, (row, column, weight) in enumerate(tiles):
            at = slice(row, row + weight.shape[0]), slice(column, column + weight.shape[1])
            down, across = (slice(one.start * EIGHTH, one.stop * EIGHTH) for one in at)
            for index, (begin, end) in enumerate(pieces):
                watch((number + index / len(pieces)) / len(tiles))
                part = frames(begin, end)[:, :, down, across].to(self._device, torch.bfloat16)
                with torch.inference_mode():
                    made = self._vae._encode(part[None], self._state(index, pieces))
                # Of mean and spread the first, as in LightX2V (vae_encode: the mode).
                latents = made[0, :CHANNELS].float().cpu()
                first = (begin + FOURTH - 1) // FOURTH
                found[:, first : first + latents.shape[1], at[0], at[1]] += latents * weight
            self.close()
        return found * SCALE

    def decode(self, latents: torch.Tensor, watch: Watch) -> torch.Tensor:
        """The pictures, float16 [3, frames, height, width] in -1 to 1 on the CPU; arguments as for
        ``encode``."""
        deep, rows, columns = latents.shape[1:]
        count = (deep - 1) * FOURTH + 1
        found = torch.zeros(3, count, rows * EIGHTH, columns * EIGHTH, dtype=torch.float16)
        pieces = _pieces(deep, 2, 1)
        tiles = [*self._tiles(rows, columns, EIGHTH)]
        for number, (row, column, weight) in enumerate(tiles):
            down, across = (
                slice(begin, begin + side)
                for begin, side in zip((row, column), weight.shape, strict=True)
            )
            at = [slice(one.start // EIGHTH, one.stop // EIGHTH) for one in (down, across)]
            large = weight.to(self._device)
            for index, (begin, end) in enumerate(pieces):
                watch((number + index / len(pieces)) / len(tiles))
                part = (latents[:, begin:end, at[0], at[1]] / SCALE).to(
                    self._device, torch.bfloat16
                )
                with torch.inference_mode():
                    made = self._vae._decode(part[None], self._state(index, pieces))[0]
                first = 0 if begin == 0 else (begin - 1) * FOURTH + 1
                weighed = (made.float() * large).half().cpu()
                found[:, first : first + made.shape[1], down, across] += weighed
            self.close()
        return found

    def _tiles(
        self, rows: int, columns: int, times: int
    ) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Row and column at which each begins, and what it counts at each of its places.

        Args:
            rows, columns: latents of the whole.
            times: places a latent, on each side.
        """
        sides = []
        for side in (rows, columns):
            begins = [times * one for one in starts(side, self._tile, self._share)]
            counts = weights(begins, times * self._tile, times * side)
            sides.append([*zip(begins, counts, strict=True)])
        for top, high in sides[0]:
            for left, wide in sides[1]:
                yield top, left, high[:, None] * wide

    def _state(self, index: int, pieces: list[tuple[int, int]]) -> Any:
        if len(pieces) == 1:
            return self._states.DISABLED
        return self._states.INITIALIZING if index == 0 else self._states.ACTIVE


def _pieces(total: int, first: int, then: int) -> list[tuple[int, int]]:
    """The VAE's own steps: the first frame stands for itself, each latent after it for four."""
    ends = [min(first, total), *range(first + then, total + 1, then)]
    return list(zip([0, *ends], ends, strict=False))
