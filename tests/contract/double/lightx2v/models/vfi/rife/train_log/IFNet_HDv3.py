"""RIFE's network with the real one's names and shapes, and a blend for its arithmetic."""

from collections.abc import Iterator

import torch
from lightx2v.models.vfi.rife.model.warplayer import backwarp_tenGrid
from torch import nn

WIDTHS = (192, 128, 96, 64, 32)


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    for block, wide in enumerate(WIDTHS):
        given = 15 if block == 0 else 28
        layers = {"conv0.0.0": (wide // 2, given, 3, 3), "conv0.1.0": (wide, wide // 2, 3, 3)}
        layers |= {f"convblock.{at}.conv": (wide, wide, 3, 3) for at in range(8)}
        for name, shape in layers.items():
            yield f"block{block}.{name}.weight", shape
            yield f"block{block}.{name}.bias", shape[:1]
        for at in range(8):
            yield f"block{block}.convblock.{at}.beta", (1, wide, 1, 1)
        yield f"block{block}.lastconv.0.weight", (wide, 52, 4, 4)
        yield f"block{block}.lastconv.0.bias", (52,)
    for name, shape in {
        "cnn0": (16, 3, 3, 3),
        "cnn1": (16, 16, 3, 3),
        "cnn2": (16, 16, 3, 3),
        "cnn3": (16, 4, 4, 4),
    }.items():
        yield f"encode.{name}.weight", shape
        yield f"encode.{name}.bias", (4,) if name == "cnn3" else shape[:1]


class IFNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name, shape in shapes():
            at: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if not hasattr(at, part):
                    at.add_module(part, nn.Module())
                at = getattr(at, part)
            at.register_parameter(last, nn.Parameter(torch.randn(shape) / 10))

    def forward(
        self, x: torch.Tensor, timestep: float, scale_list: list[float]
    ) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
        assert x.shape[2] % 128 == x.shape[3] % 128 == 0, "the real one's flow needs whole blocks"
        assert scale_list == [16, 8, 4, 2, 1]
        backwarp_tenGrid[str(x.shape)] = x[:, :2]
        bias: torch.Tensor = self.get_parameter("encode.cnn0.bias")[:3].view(1, 3, 1, 1)
        made = torch.lerp(x[:, :3], x[:, 3:], timestep) + bias * timestep * (1 - timestep)
        return [], made[:, :1], [made]
