"""What the transformer sees beside the noise: Wan's mask and the latents of the pictures given.

As diffusers' WanImageToVideoPipeline.prepare_latents makes it while a clip is made (a test compares
them), here for batches on the GPU. The pictures are encoded as one video whose other frames are
mid-grey: the causal VAE gives a picture alone other latents than a picture that frames follow.
"""

from typing import Any

import torch
from torch import nn

from engine.pipelines.wan_tiny.codec import encode_moments, normalise

CHANNELS = 4 + 16  # mask, one channel for each frame of a latent frame, and latents


def padded(clips: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Clips [B, 3, F, H, W] with all but their first frame grey; ends [B]: but the last one, too.

    Of one frame the first is the last.
    """
    video = torch.zeros_like(clips)
    video[:, :, 0] = clips[:, :, 0]
    if clips.shape[2] > 1:
        video[:, :, -1] = torch.where(ends[:, None, None, None], clips[:, :, -1], 0.0)
    return video


def mask(ends: torch.Tensor, latent_frames: int, height: int, width: int) -> torch.Tensor:
    """[B, 4, f, h, w], 1 on what is given. The first latent frame is one frame, four times over."""
    given = torch.zeros(len(ends), 4, latent_frames, height, width, device=ends.device)
    given[:, :, 0] = 1.0
    if latent_frames > 1:
        given[:, 3, -1] = ends.to(given.dtype)[:, None, None]
    return given


@torch.no_grad()
def condition(vae: Any, clips: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """[B, 20, f, h, w] for clips that begin, and where ends [B] says so end, with what is given."""
    latents = normalise(vae, encode_moments(vae, padded(clips, ends))[0].float())
    return torch.cat([mask(ends, *latents.shape[2:]), latents], dim=1)


@torch.no_grad()
def widen(transformer: Any) -> None:
    """Let a transformer that takes noise alone take pictures as well, in place.

    The new weights are zero: at first it does what it did.
    """
    old = transformer.patch_embedding
    width = old.in_channels + CHANNELS
    new = nn.Conv3d(width, old.out_channels, old.kernel_size, old.stride)
    weight = torch.zeros_like(new.weight)
    weight[:, : old.in_channels] = old.weight
    new.load_state_dict({"weight": weight, "bias": old.bias})
    transformer.patch_embedding = new.to(old.weight.device, old.weight.dtype)
    transformer.register_to_config(in_channels=width)
