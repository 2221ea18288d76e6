"""A small decoder of LightX2V's tiny VAE's kinds of blocks, which takes all frames at once."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

WIDTH = 8


class MemBlock(nn.Module):
    """Sees its own input of one frame before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(torch.cat([x, past], 1)) + x)


class TGrow(nn.Module):
    """One frame becomes ``stride``, by channels."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width * stride, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames, _, height, width = x.shape
        grown: torch.Tensor = self.conv(x)
        return grown.reshape(frames * self.stride, -1, height, width)


class TAEHV(nn.Module):
    def __init__(
        self,
        checkpoint_path: str | None = None,
        decoder_time_upscale: tuple[bool, bool] = (True, True),
        decoder_space_upscale: tuple[bool, bool, bool] = (True, True, True),
    ) -> None:
        super().__init__()
        self.frames_to_trim = 2 ** sum(decoder_time_upscale) - 1
        blocks: list[nn.Module] = [nn.Conv2d(16, WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
        for larger, longer in zip(
            decoder_space_upscale, (False, *decoder_time_upscale), strict=True
        ):
            blocks += [
                MemBlock(WIDTH),
                nn.Upsample(scale_factor=2 if larger else 1),
                TGrow(WIDTH, 2 if longer else 1),
            ]
        self.decoder = nn.Sequential(*blocks, nn.Conv2d(WIDTH, 3, 3, padding=1))
        if checkpoint_path is None:
            return
        binary = Path(checkpoint_path).suffix == ".safetensors"
        read = load_file(checkpoint_path) if binary else torch.load(checkpoint_path)
        own = self.state_dict()
        # A layer that grows less has the last of the channels.
        self.load_state_dict({name: read[name][-len(tensor) :] for name, tensor in own.items()})

    def decode_video(
        self, x: torch.Tensor, parallel: bool = True, show_progress_bar: bool = True
    ) -> torch.Tensor:
        """[1, frames, 16, height, width] to [1, more frames, 3, larger, larger], from 0 to 1."""
        frames = x[0]
        for block in self.decoder:
            if isinstance(block, MemBlock):
                frames = block(frames, F.pad(frames, (0, 0, 0, 0, 0, 0, 1, 0))[:-1])
            else:
                frames = block(frames)
        return frames.clamp(0, 1)[None, self.frames_to_trim :]
