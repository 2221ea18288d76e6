"""Attention within windows of several lengths, by PyTorch: what LightX2V has flash_attn for."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

AT_ONCE = 16_384  # tokens of windows of one length: enough to fill a GPU


def within_windows(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_seqlens_q: torch.Tensor, **_: Any
) -> torch.Tensor:
    """In place of ``flash_attn_varlen_func``.

    Args:
        q, k, v: [tokens, heads, values], window after window.
        cu_seqlens_q: [windows + 1], where each begins; the keys' are the same.

    Returns:
        As ``q``.
    """
    ends = cu_seqlens_q.tolist()
    by_length: dict[int, list[int]] = defaultdict(list)
    for begin, end in pairwise(ends):
        by_length[end - begin].append(begin)
    out = torch.empty_like(q)
    for length, begins in by_length.items():
        some = max(1, AT_ONCE // length)
        for at in range(0, len(begins), some):
            first = torch.tensor(begins[at : at + some], device=q.device)
            where = (first[:, None] + torch.arange(length, device=q.device)).flatten()
            shape = (-1, length, *q.shape[1:])
            heads = [one[where].view(shape).transpose(1, 2) for one in (q, k, v)]
            made = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
            out[where] = made.transpose(1, 2).reshape(-1, *q.shape[1:])
    return out
