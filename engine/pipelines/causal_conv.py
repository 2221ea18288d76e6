"""The causal VAE's 3-D convolutions as 2-D ones: half the time on a CPU, and predictable memory.

PyTorch runs a Conv3d of batch 1 and few channels through slow_conv3d, or through one of several
oneDNN paths, by size: it is slow, and its scratch memory jumps from size to size. A causal kernel
over a few frames is the same sum as a 2-D kernel over those frames stacked as channels.
"""

from types import MethodType
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import Tensor
from torch.nn import functional


def use_conv2d(vae: Any) -> int:
    """Replace the forward of every causal convolution of ``vae``; returns how many there were."""
    layers = [module for module in vae.modules() if isinstance(module, WanCausalConv3d)]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
    return len(layers)


def _forward(self: Any, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
    """``x`` [batch, channels, frames, height, width], with the frames before it in ``cache_x``."""
    padding = list(self._padding)
    if cache_x is not None and padding[4] > 0:
        x = torch.cat([cache_x.to(x.device), x], dim=2)
        padding[4] -= cache_x.shape[2]
    x = functional.pad(x, padding)
    frames_in_kernel, height, width = self.kernel_size
    windows = x.unfold(2, frames_in_kernel, self.stride[0])
    batch, channels, frames = windows.shape[:3]
    stacked = windows.permute(0, 2, 1, 5, 3, 4).reshape(
        batch * frames, channels * frames_in_kernel, *windows.shape[3:5]
    )
    weight = self.weight.reshape(self.out_channels, channels * frames_in_kernel, height, width)
    y = functional.conv2d(stacked, weight, self.bias, self.stride[1:])
    return y.reshape(batch, frames, *y.shape[1:]).transpose(1, 2)
