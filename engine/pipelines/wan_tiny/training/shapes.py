"""Signed distances to the world's shapes: what both the renderer and the judge draw with.

The heart, star and triangle follow Inigo Quilez's published 2D distance functions.
"""

import math

import torch

_SQRT3 = math.sqrt(3.0)


def distance(shape: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distance from each point to its shape's outline, negative inside.

    shape: [B] indices into words.SHAPES (others count as circles). x, y: [B, ...] coordinates in
    units of the shape's size, x to the right, y DOWN. Returns a tensor of x's shape.
    """
    y = -y
    out = _circle(x, y)
    for index, sdf in enumerate((_square, _triangle, _star, _heart, _ring, _moon), start=1):
        rows = (shape == index).nonzero().flatten()
        if len(rows):
            out[rows] = sdf(x[rows], y[rows])
    return out


def _circle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(x * x + y * y) - 1.0


def _square(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    qx, qy = x.abs() - 0.88, y.abs() - 0.88
    outside = torch.sqrt(qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2)
    return outside + torch.maximum(qx, qy).clamp(max=0)


def _triangle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    half = 1.12
    px = x.abs() - half
    py = y + half / _SQRT3
    turn = px + _SQRT3 * py > 0
    px, py = (
        torch.where(turn, (px - _SQRT3 * py) / 2, px),
        torch.where(turn, (-_SQRT3 * px - py) / 2, py),
    )
    px = px - px.clamp(-2 * half, 0)
    return -torch.sqrt(px * px + py * py) * torch.sign(py)


def _star(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    radius, inner = 1.3, 0.45
    ax, ay = 0.809016994375, -0.587785252292
    px, py = x.abs(), y
    for kx, ky in ((ax, ay), (-ax, ay)):
        fold = 2 * (kx * px + ky * py).clamp(min=0)
        px, py = px - fold * kx, py - fold * ky
    px, py = px.abs(), py - radius
    bx, by = inner * -ay, inner * ax - 1.0
    along = ((px * bx + py * by) / (bx * bx + by * by)).clamp(0, radius)
    side = torch.sign(py * bx - px * by)
    return torch.sqrt((px - bx * along) ** 2 + (py - by * along) ** 2) * side


def _heart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    scale = 2.0
    px, py = x.abs() / scale, y / scale + 0.54
    lobe = torch.sqrt((px - 0.25) ** 2 + (py - 0.75) ** 2) - math.sqrt(2) / 4
    middle = 0.5 * (px + py).clamp(min=0)
    near = torch.minimum(px**2 + (py - 1) ** 2, (px - middle) ** 2 + (py - middle) ** 2)
    body = torch.sqrt(near) * torch.sign(px - py)
    return torch.where(px + py > 1, lobe, body) * scale


def _ring(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (torch.sqrt(x * x + y * y) - 0.83).abs() - 0.29


def _moon(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    bite = torch.sqrt((x - 0.62) ** 2 + (y - 0.2) ** 2) - 0.95
    return torch.maximum(torch.sqrt(x * x + y * y) - 1.2, -bite)
