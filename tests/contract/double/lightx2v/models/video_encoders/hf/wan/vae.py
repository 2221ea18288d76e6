"""A video coder with Wan's strides: 8 in height and width, 4 in time but for the first frame."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from lightx2v_platform.base.global_var import AI_DEVICE
from torch import nn

from .....common.ops.utils import DTYPE

TILE, STRIDE, RATIO = 32, 24, 8  # in latents; pixels to a latent
Scale = list[torch.Tensor]
Cache = list[torch.Tensor | None]


class CausalConv3d(nn.Conv3d):
    """Sees the two frames before, which the caller keeps."""

    def forward(self, x: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
        if before is None:
            before = x.new_zeros(*x.shape[:2], 2, *x.shape[3:])
        return super().forward(F.pad(torch.cat([before, x], dim=2), (1, 1, 1, 1)))


class Decoder3d(nn.Module):
    """One latent frame at a time; ``feat_cache`` keeps what its convolutions look back on."""

    def __init__(self, dim: int, z_dim: int) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(z_dim, dim, 3)
        self.head = CausalConv3d(dim, 3, 3)

    def forward(self, x: torch.Tensor, feat_cache: Cache, feat_idx: list[int]) -> torch.Tensor:
        first = feat_cache[0] is None
        x = F.silu(self._cached(self.conv1, x, feat_cache, 0))
        x = F.interpolate(x, scale_factor=(1 if first else 4, RATIO, RATIO))
        return torch.tanh(self._cached(self.head, x, feat_cache, 1))

    def _cached(self, conv: nn.Module, x: torch.Tensor, cache: Cache, index: int) -> torch.Tensor:
        before = cache[index]
        if before is None:
            before = x.new_zeros(*x.shape[:2], 2, *x.shape[3:])
        cache[index] = torch.cat([before, x], dim=2)[:, :, -2:].clone()
        found: torch.Tensor = conv(x, before)
        return found


class Halved(nn.Module):
    """Half the height and width; where ``shorter`` a fourth of the frames, but for the first."""

    def __init__(self, dim: int, shorter: bool) -> None:
        super().__init__()
        self.conv, self.shorter = CausalConv3d(dim, dim, 3), shorter

    def forward(self, x: torch.Tensor, feat_cache: Cache, feat_idx: list[int]) -> torch.Tensor:
        first = feat_cache[feat_idx[0]] is None
        x = F.silu(_looking_back(self.conv, x, feat_cache, feat_idx))
        stride = 4 if self.shorter and not first else 1, 2, 2
        return F.avg_pool3d(x.float(), stride).to(x.dtype)


class Encoder3d(nn.Module):
    """One frame, then four at a time."""

    def __init__(self, dim: int, z_dim: int) -> None:
        super().__init__()
        self.conv1 = CausalConv3d(3, dim, 3)
        self.downsamples = nn.Sequential(*(Halved(dim, last) for last in (False, False, True)))
        self.head = CausalConv3d(dim, z_dim, 3)

    def forward(self, x: torch.Tensor, feat_cache: Cache, feat_idx: list[int]) -> torch.Tensor:
        x = _looking_back(self.conv1, x, feat_cache, feat_idx)
        for layer in self.downsamples:
            x = layer(x, feat_cache, feat_idx)
        return _looking_back(self.head, x, feat_cache, feat_idx)


def _looking_back(
    conv: nn.Module, x: torch.Tensor, feat_cache: Cache, feat_idx: list[int]
) -> torch.Tensor:
    index = feat_idx[0]
    before = feat_cache[index]
    kept = x.new_zeros(*x.shape[:2], 2, *x.shape[3:]) if before is None else before
    feat_cache[index] = torch.cat([kept, x], dim=2)[:, :, -2:].clone()
    feat_idx[0] += 1
    found: torch.Tensor = conv(x, before)
    return found


class WanVAE_(nn.Module):
    """Its weights' names are our own: tests/contract/workspace.py writes what it asks for."""

    def __init__(self, dim: int = 96, z_dim: int = 16, **_: Any) -> None:
        super().__init__()
        self.encoder = Encoder3d(dim, 2 * z_dim)
        self.conv1 = nn.Conv3d(2 * z_dim, 2 * z_dim, 1)
        self.conv2 = nn.Conv3d(z_dim, z_dim, 1)
        self.decoder = Decoder3d(dim, z_dim)
        self.clear_cache()

    def clear_cache(self) -> None:
        self._feat_map: Cache = [None, None]
        self._enc_feat_map: Cache = [None] * 5

    def encode(self, x: torch.Tensor, scale: Scale) -> torch.Tensor:
        """[1, 3, f, 8h, 8w] -> [1, 16, t, h, w]."""
        self.clear_cache()
        pieces = []
        for i in range(1 + (x.shape[2] - 1) // 4):
            begin, end = max(0, 4 * i - 3), 4 * i + 1
            piece = x[:, :, begin:end, :, :]
            pieces.append(self.encoder(piece, feat_cache=self._enc_feat_map, feat_idx=[0]))
        mean: torch.Tensor = self.conv1(torch.cat(pieces, 2)).chunk(2, dim=1)[0]
        self.clear_cache()
        return (mean - scale[0].view(1, -1, 1, 1, 1)) * scale[1].view(1, -1, 1, 1, 1)

    def tiled_encode(self, x: torch.Tensor, scale: Scale) -> torch.Tensor:
        """Tiles beside one another; upstream's overlap."""
        side = RATIO * TILE
        rows = []
        for top in range(0, x.shape[3], side):
            row = []
            for left in range(0, x.shape[4], side):
                self.clear_cache()
                time = []
                for i in range(1 + (x.shape[2] - 1) // 4):
                    begin, end = max(0, 4 * i - 3), 4 * i + 1
                    piece = x[:, :, begin:end, top : top + side, left : left + side]
                    piece = self.encoder(piece, feat_cache=self._enc_feat_map, feat_idx=[0])
                    mean = self.conv1(piece).chunk(2, dim=1)[0]
                    mean = mean - scale[0].view(1, -1, 1, 1, 1)
                    time.append(mean * scale[1].view(1, -1, 1, 1, 1))
                row.append(torch.cat(time, 2))
            rows.append(torch.cat(row, -1))
        self.clear_cache()
        return torch.cat(rows, -2)

    def decode_stream(self, z: torch.Tensor, scale: Scale) -> Iterator[torch.Tensor]:
        """[1, 16, t, h, w] -> pieces of [1, 3, 1 or 4, 8h, 8w]."""
        self.clear_cache()
        z = z / scale[1].view(1, -1, 1, 1, 1) + scale[0].view(1, -1, 1, 1, 1)
        x = self.conv2(z)
        for i in range(z.shape[2]):
            yield self.decoder(x[:, :, i : i + 1], feat_cache=self._feat_map, feat_idx=[0])

    def decode(self, z: torch.Tensor, scale: Scale) -> torch.Tensor:
        return torch.cat(list(self.decode_stream(z, scale)), dim=2)

    def tiled_decode(self, z: torch.Tensor, scale: Scale) -> torch.Tensor:
        """Overlapping tiles, each over the whole length, faded into one another."""
        height, width = z.shape[-2:]
        total = weight = z.new_zeros(())
        for top in range(0, height, STRIDE):
            for left in range(0, width, STRIDE):
                tile = self.decode(z[..., top : top + TILE, left : left + TILE], scale)
                share = _ramp(tile.shape[-2])[:, None] * _ramp(tile.shape[-1])[None]
                bottom = RATIO * (height - top) - tile.shape[-2]
                right = RATIO * (width - left) - tile.shape[-1]
                around = (RATIO * left, right, RATIO * top, bottom)
                total = total + F.pad(tile * share, around)
                weight = weight + F.pad(share, around)
        self.clear_cache()
        return total / weight


def _ramp(length: int) -> torch.Tensor:
    """1 in the middle, towards 0 at both ends: over 64 pixels, as far as tiles overlap."""
    place = torch.arange(length, device=AI_DEVICE)
    return (torch.minimum(place + 1, length - place) / 64).clamp(max=1)


def _video_vae(pretrained_path: str, dtype: torch.dtype, **settings: Any) -> WanVAE_:
    model = WanVAE_(**settings)
    model.load_state_dict(torch.load(pretrained_path, map_location="cpu", weights_only=True))
    return model.eval().requires_grad_(False).to(dtype)


class WanVAE:
    """The decoder, and where it is."""

    def __init__(self, vae_path: str, cpu_offload: bool, use_tiling: bool) -> None:
        self.cpu_offload, self.use_tiling = cpu_offload, use_tiling
        self.dtype = DTYPE
        self.model = _video_vae(vae_path, DTYPE)
        self.scale: Scale = [
            torch.full((16,), 0.5, dtype=DTYPE),
            torch.full((16,), 0.5, dtype=DTYPE),
        ]
        if not cpu_offload:
            self.to_cuda()

    def to_cuda(self) -> None:
        self._to(AI_DEVICE)

    def to_cpu(self) -> None:
        self._to("cpu")

    def _to(self, device: str) -> None:
        self.model.to(device)
        self.scale = [values.to(device) for values in self.scale]

    def encode(
        self, video: torch.Tensor, world_size_h: None = None, world_size_w: None = None
    ) -> torch.Tensor:
        """Fault: after an exception the weights stay on the device, and the features with them."""
        if self.cpu_offload:
            self.to_cuda()
        video = video.to(device=AI_DEVICE, dtype=self.dtype)
        encode = self.model.tiled_encode if self.use_tiling else self.model.encode
        found = encode(video, self.scale).squeeze(0)
        if self.cpu_offload:
            self.to_cpu()
        return found

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        decode = self.model.tiled_decode if self.use_tiling else self.model.decode
        return decode(latents.unsqueeze(0), self.scale).clamp(-1, 1)
