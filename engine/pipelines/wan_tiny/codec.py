"""Runs diffusers' causal video VAE over all frames at once, and its CPU convolutions faster.

AutoencoderKLWan works through a clip in chunks with caches; training needs whole clips on the GPU.
The sums are the same (tests compare both), only the order of work differs.
"""

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    patchify,
    unpatchify,
)
from torch import nn
from torch.nn import functional


def encode_moments(vae: Any, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips [B, 3, F, H, W] -> mean and log variance, each [B, 16, (F-1)/4+1, H/8, W/8]."""
    x = vae.encoder.conv_in(patchify(clips, vae.config.patch_size))
    for block in vae.encoder.down_blocks:
        shortcut = block.avg_shortcut(x)
        for resnet in block.resnets:
            x = resnet(x)
        if block.downsampler is not None:
            x = _downsample(block.downsampler, x)
        x = x + shortcut
    x = vae.encoder.mid_block(x)
    x = vae.encoder.conv_out(vae.encoder.nonlinearity(vae.encoder.norm_out(x)))
    mean, log_variance = vae.quant_conv(x).chunk(2, dim=1)
    return mean, log_variance.clamp(-30.0, 20.0)


def decode_all(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Raw latents (as encode_moments gives them) -> clips [B, 3, F, H, W], not clamped."""
    decoder = vae.decoder
    x = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latents)))
    for block in decoder.up_blocks:
        start = x
        for resnet in block.resnets:
            x = resnet(x)
        if block.upsampler is not None:
            x = _upsample(block.upsampler, x)
        if block.avg_shortcut is not None:
            x = x + block.avg_shortcut(start, first_chunk=True)
    x = decoder.conv_out(decoder.nonlinearity(decoder.norm_out(x)))
    return torch.as_tensor(unpatchify(x, vae.config.patch_size))


def _spatially(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    count, _, frames, _, _ = x.shape
    flat = layer(x.transpose(1, 2).flatten(0, 1))
    return torch.as_tensor(flat.unflatten(0, (count, frames)).transpose(1, 2))


def _downsample(layer: Any, x: torch.Tensor) -> torch.Tensor:
    x = _spatially(layer.resample, x)
    if layer.mode == "downsample3d" and x.shape[2] > 1:
        # The first frame stands alone; from then on two frames become one.
        x = torch.cat([x[:, :, :1], layer.time_conv(x)], dim=2)
    return x


def _upsample(layer: Any, x: torch.Tensor) -> torch.Tensor:
    if layer.mode == "upsample3d" and x.shape[2] > 1:
        count, channels, _, height, width = x.shape
        pairs = layer.time_conv(x[:, :, 1:]).unflatten(1, (2, channels)).transpose(1, 2)
        later = pairs.transpose(2, 3).reshape(count, channels, -1, height, width)
        x = torch.cat([x[:, :, :1], later], dim=2)
    return _spatially(layer.resample, x)


def normalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Raw latents to the scale that the transformer works in: mean 0, deviation 1 per channel."""
    mean, std = _moments(vae, latents)
    return (latents - mean) / std


def denormalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The way back: what the VAE decodes."""
    mean, std = _moments(vae, latents)
    return latents * std + mean


def _moments(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, std = (
        torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return mean, std


class FlatCausalConv(WanCausalConv3d):
    """The same convolution as one 2D convolution over frames stacked as channels.

    PyTorch's CPU Conv3d takes its slow path for few channels (aten::slow_conv3d); Conv2d doesn't.
    """

    def forward(self, x: torch.Tensor, cache_x: torch.Tensor | None = None) -> torch.Tensor:
        """x: [B, C, F, H, W]; cache_x: earlier frames, as the chunked decoder passes them."""
        left, _, above, _, before, _ = self._padding
        if cache_x is not None and before > 0:
            x = torch.cat([cache_x.to(x.device), x], dim=2)
            before = max(0, before - cache_x.shape[2])
        x = functional.pad(x, (0, 0, 0, 0, before, 0))
        depth, stride = self.kernel_size[0], self.stride[0]
        windows = x.unfold(2, depth, stride)  # [B, C, F', H, W, depth]
        count, channels, frames, height, width, _ = windows.shape
        stacked = windows.permute(0, 2, 1, 5, 3, 4).reshape(
            count * frames, channels * depth, height, width
        )
        weight = self.weight.flatten(1, 2)
        flat = functional.conv2d(
            stacked, weight, self.bias, stride=self.stride[1:], padding=(above, left)
        )
        return flat.reshape(count, frames, *flat.shape[1:]).transpose(1, 2)


def use_flat_convolutions(vae: nn.Module) -> int:
    """Make every causal convolution of the VAE run as FlatCausalConv; returns how many."""
    layers = [m for m in vae.modules() if type(m) is WanCausalConv3d]
    for layer in layers:
        layer.__class__ = FlatCausalConv
    return len(layers)
