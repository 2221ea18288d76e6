"""The VAE laid out for training on a GPU, and training steps replayed as CUDA graphs.

cuDNN's 3D convolutions are slow for 24 to 96 channels, and a network this small spends its time in
launches and in elementwise passes. The sums stay the same (a test compares them).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch._dynamo
import torch.fx.experimental._config
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanResidualBlock,
    WanRMS_norm,
    WanUpsample,
)
from torch import nn
from torch.nn import functional

Function = Callable[..., torch.Tensor]


def stack(x: torch.Tensor, depth: int, before: int, stride: int) -> torch.Tensor:
    """[B, C, F, H, W] -> [B * F', depth * C, H, W], channels last: each frame beside earlier ones.

    before: empty frames ahead of the first.
    """
    last = functional.pad(x.permute(0, 2, 3, 4, 1), (0, 0, 0, 0, 0, 0, before, 0))
    frames = (last.shape[1] - depth) // stride + 1
    reach = stride * (frames - 1) + 1
    beside = torch.cat([last[:, i : i + reach : stride] for i in range(depth)], dim=-1)
    return beside.flatten(0, 1).permute(0, 3, 1, 2)


def normed_silu(x: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """WanRMS_norm over channels and SiLU, in float32 inside and x's type outside."""
    wide = x.float()
    length = wide.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
    return functional.silu(wide / length * (gamma * gamma.shape[0] ** 0.5)).to(x.dtype)


def normed_stack(x: torch.Tensor, gamma: torch.Tensor, depth: int, before: int) -> torch.Tensor:
    """What a residual block does ahead of each convolution, in one pass once compiled."""
    return stack(normed_silu(x, gamma), depth, before, 1)


def doubled(x: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] -> [N, C, 2H, 2W], channels last: what "nearest-exact" gives at twice the size.

    diffusers' own goes through float32.
    """
    last = x.permute(0, 2, 3, 1)
    count, height, width, channels = last.shape
    wide = last[:, :, None, :, None].expand(count, height, 2, width, 2, channels)
    return wide.reshape(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class StackedConv(WanCausalConv3d):
    """The same convolution as a channels-last 2D one over stacked frames."""

    def forward(self, x: torch.Tensor, cache_x: torch.Tensor | None = None) -> torch.Tensor:
        """x: [B, C, F, H, W]. Whole clips only."""
        if cache_x is not None:
            raise ValueError("the training layout takes whole clips, not chunks")
        depth, before = self.kernel_size[0], self._padding[4]
        return self.convolve(stack(x, depth, before, self.stride[0]), len(x))

    def convolve(self, stacked: torch.Tensor, count: int) -> torch.Tensor:
        """stacked: as stack() gives it, of count clips."""
        left, _, above, _, _, _ = self._padding
        weight = self.weight.transpose(1, 2).flatten(1, 2)
        flat = functional.conv2d(
            stacked, weight, self.bias, stride=self.stride[1:], padding=(above, left)
        )
        return torch.as_tensor(flat.unflatten(0, (count, -1)).transpose(1, 2))


class StackedBlock(WanResidualBlock):
    """The same residual block with norm, SiLU and stacking together."""

    stacker: Function = staticmethod(normed_stack)

    def forward(self, x: torch.Tensor, **_caches: Any) -> torch.Tensor:
        """x: [B, C, F, H, W]. Whole clips only."""
        kept = self.conv_shortcut(x)
        for norm, conv in ((self.norm1, self.conv1), (self.norm2, self.conv2)):
            depth, before = conv.kernel_size[0], conv._padding[4]
            x = conv.convolve(type(self).stacker(x, norm.gamma, depth, before), len(x))
        return torch.as_tensor(x + kept)


class NormedSilu(WanRMS_norm):
    """An RMS norm with the SiLU that follows it."""

    activate: Function = staticmethod(normed_silu)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [B, C, F, H, W]."""
        return type(self).activate(x, self.gamma)


class Doubling(WanUpsample):
    """The decoder's upsampling, which always doubles height and width."""

    double: Function = staticmethod(doubled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [N, C, H, W]."""
        return type(self).double(x)


KINDS = {WanCausalConv3d: StackedConv, WanResidualBlock: StackedBlock, WanUpsample: Doubling}


def quicken(vae: Any, *, compiled: bool) -> Any:
    """Give the VAE the training layout, in place; its weights and their names stay as they are.

    compiled: fuse the elementwise passes (for a GPU). stack() alone stays as it is: compiled by
    torch 2.11 on a GPU it gave the convolutions of stride 2 too many frames. Returns the VAE.
    """
    if compiled:
        torch._dynamo.config.cache_size_limit = 64
        torch.fx.experimental._config.use_duck_shape = False
        Doubling.double = staticmethod(torch.compile(doubled, dynamic=True))
        StackedBlock.stacker = staticmethod(torch.compile(normed_stack, dynamic=True))
        NormedSilu.activate = staticmethod(torch.compile(normed_silu, dynamic=True))
    for module in vae.modules():
        module.__class__ = KINDS.get(type(module), type(module))
    for part in (vae.encoder, vae.decoder):
        part.norm_out.__class__ = NormedSilu
        part.nonlinearity = nn.Identity()
    return vae


class Replayed:
    """A function of tensors whose work on a GPU is recorded once and then replayed.

    Its inputs must keep their shapes, and what it changes must stay where it is. On the CPU it is
    called as it is.
    """

    _shared: ClassVar[list[Any]] = []  # one stream and one memory pool: only one runs at a time

    def __init__(self, work: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
        self._work = work
        self._inputs = [x.clone() for x in inputs]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result = torch.zeros(())
        if any(x.is_cuda for x in inputs):
            self._record()

    def _record(self) -> None:
        if not self._shared:
            self._shared.extend((torch.cuda.Stream(), torch.cuda.graph_pool_handle()))
        stream, pool = self._shared
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._work(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream):
            self._result = self._work(*self._inputs)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The result; on a GPU its memory is overwritten by the next call."""
        if self._graph is None:
            return self._work(*inputs)
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._result
