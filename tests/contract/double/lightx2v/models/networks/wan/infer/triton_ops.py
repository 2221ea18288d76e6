"""The fused kernel for scale and shift, without Triton."""

import torch


def fuse_scale_shift_kernel(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    return x * (1 + scale) + shift
