"""The tiny VAE (TAEHV): real pictures after each step, and a draft's frames, for little.

LightX2V's network and its blocks; it decodes a clip into one tensor on the GPU, which is streamed
here instead, latent frame by latent frame.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from engine.pipelines.base import PipelineError
from engine.stages import Frames
from engine.text import Text

log = logging.getLogger("headroom.tiny_vae")

LEAST_PSNR = 8.0  # decibels; a black picture is some 5 from any other
PROOF = (1, 16, 1, 12, 12)  # latents that both decoders get: 96 x 96 pixels, one frame
Latents = torch.Tensor  # [1, 16, latent frames, height / 8, width / 8], as the sampler has them


class TinyVae:
    """Reads ``file`` for ``vae``, LightX2V's whole one, whose latents it decodes. It stays in RAM
    between calls: 23 MB are on a GPU in milliseconds.

    Raises:
        PipelineError: it is another network, or its pictures have nothing to do with the VAE's.
    """

    def __init__(self, file: Path, vae: Any) -> None:
        from lightx2v.models.video_encoders.hf.tae import TAEHV

        self._dtype = vae.dtype
        try:
            whole = TAEHV(str(file))
            # Half the size, and one frame for each of the latents: a quarter of the work, twice.
            small = TAEHV(str(file), (False, False), (True, True, False))
        except Exception as error:  # whatever a file of another kind makes its reader raise
            log.exception("%s can't be loaded", file)
            raise PipelineError(Text("pipelines.tiny_vae_unread", file=file), _REMEDY) from error
        self._trimmed = int(whole.frames_to_trim)
        self._whole, self._small = (
            made.decoder.to(self._dtype, memory_format=torch.channels_last)
            .eval()
            .requires_grad_(False)
            for made in (whole, small)
        )
        # lighttaew2_1 was trained on latents as the VAE has them, taew2_1 on normalised ones, and
        # nothing in the file says so. The wrong ones cost twenty decibels.
        found = {scaled: self._likeness(vae, scaled) for scaled in (False, True)}
        self._scaled = max(found, key=lambda scaled: found[scaled])
        log.info("%s: %s dB from the VAE, by whether latents are scaled", file.name, found)
        if not found[self._scaled] >= LEAST_PSNR:
            how = Text("pipelines.tiny_vae_differs", file=file, decibels=found[self._scaled])
            raise PipelineError(how, _REMEDY)

    def stream(self, latents: Latents, vae: Any) -> Iterator[torch.Tensor]:
        """The frames of ``latents``, [1, 3, frames, height, width] from -1 to 1: one for the first
        of the latents' frames, four for each other.

        Args:
            vae: the whole one, whose scale the latents have; it may be on another device.
        """
        frames = _decoded(self._whole, self._given(latents, vae), self._trimmed)
        yield next(frames)
        for first in frames:
            four = [first, *(next(frames) for _ in range(self._trimmed))]
            yield torch.cat(four, 2)

    def look(self, latents: Latents, vae: Any) -> Frames:
        """Pictures of half the clip's size, one for each frame of the latents: uint8 [frames,
        height, width, 3]."""
        frames = _decoded(self._small, self._given(latents, vae), 0)
        pixels = torch.cat([((frame[0] + 1) * 127.5).round().byte() for frame in frames], 1)
        seen: Frames = pixels.permute(1, 2, 3, 0).cpu().numpy()
        return seen

    def _given(self, latents: Latents, vae: Any) -> Latents:
        if self._scaled:
            mean, inverse_deviation = (
                part.to(latents.device).view(1, -1, 1, 1, 1) for part in vae.scale
            )
            latents = latents / inverse_deviation + mean
        return latents.to(self._dtype)

    def _likeness(self, vae: Any, scaled: bool) -> float:
        """Decibels between what both decoders make of the same smooth latents."""
        self._scaled = scaled
        random = torch.Generator("cpu").manual_seed(0)
        coarse = torch.randn(*PROOF[:2], 3, 3, generator=random)
        latents = F.interpolate(coarse, PROOF[3:], mode="bicubic").unsqueeze(2).to(self._dtype)
        device = vae.scale[0].device
        latents = latents.to(device)
        wanted = next(iter(vae.model.decode_stream(latents, vae.scale))).float().clamp(-1, 1)
        vae.model.clear_cache()
        found = next(_decoded(self._whole, self._given(latents, vae), self._trimmed))
        return float(10 * torch.log10(4 / (found.float() - wanted).square().mean()))


_REMEDY = Text("pipelines.fetch_tiny_vae_again")


def _decoded(
    decoder: torch.nn.Sequential, latents: Latents, trimmed: int
) -> Iterator[torch.Tensor]:
    """The frames that ``decoder`` makes, one by one, [1, 3, 1, height, width] from -1 to 1.

    Args:
        trimmed: so many of the first come from nothing but zeros.
    """
    from lightx2v.models.video_encoders.hf.tae import MemBlock, TGrow

    blocks = list(decoder)
    decoder.to(latents.device)
    past: dict[int, torch.Tensor] = {}

    def run(at: int, x: torch.Tensor) -> Iterator[torch.Tensor]:
        for index in range(at, len(blocks)):
            block = blocks[index]
            if isinstance(block, MemBlock):
                before = past.get(index)
                past[index] = x
                x = block(x, torch.zeros_like(x) if before is None else before)
            elif isinstance(block, TGrow):
                grown = block(x)
                for part in grown.view(1, -1, *grown.shape[-2:]).chunk(block.stride, 1):
                    yield from run(index + 1, part)
                return
            else:
                x = block(x)
        yield x

    try:
        count = 0
        for latent in latents.unbind(2):
            for frame in run(0, latent):
                count += 1
                if count > trimmed:
                    yield frame.clamp(0, 1).mul(2).sub(1).unsqueeze(2)
    finally:
        # ``run`` knows itself, so that what it holds would wait for the garbage collector: 0.6 GiB
        # at 720p, in the next step's peak.
        past.clear()
        decoder.to("cpu")
