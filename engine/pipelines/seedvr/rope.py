"""Rotary positions of a window's tokens, as large as that needs them."""

from typing import Any

import torch

AT_ONCE = 8192  # tokens whose float32 is there at the same time


def angles(axes: Any, places: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What LightX2V's ``get_freqs`` gives, for the windows ``places`` [windows, 3] (frames, rows,
    columns) beside texts of ``texts`` [windows, 1] tokens: those of all windows' tokens and of all
    texts', float32 [tokens, values].

    Args:
        axes: RotaryEmbedding.get_axial_freqs (rotary_embedding_torch.py:263).
    """
    sizes, lengths = places.tolist(), texts[:, 0].tolist()
    longest = max(lengths)
    frames, rows, columns = (max(size[axis] for size in sizes) for axis in range(3))
    table = axes(longest + frames, rows, columns)
    words = axes(longest)
    seen, told = [], []
    for (deep, high, wide), length in zip(sizes, lengths, strict=True):
        part = table[length : length + deep, :high, :wide]
        seen.append(part.reshape(-1, table.shape[-1]))
        told.append(words[:length].repeat(1, 3))
    return torch.cat(seen), torch.cat(told)


def turned(tokens: torch.Tensor, freqs: torch.Tensor) -> torch.Tensor:
    """``tokens`` [tokens, heads, values], each pair of its first values turned by its angle
    ``freqs`` [tokens, up to values], which comes twice: in place, in float32."""
    wide = freqs.shape[-1]
    for at in range(0, len(tokens), AT_ONCE):
        part = tokens[at : at + AT_ONCE, :, :wide]
        angle = freqs[at : at + AT_ONCE, None]
        pairs = part.float().view(*part.shape[:2], -1, 2)
        aside = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
        part.copy_(pairs.flatten(-2) * angle.cos() + aside * angle.sin())
    return tokens
