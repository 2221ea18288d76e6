"""Attention in windows of several lengths, against one after the other."""

from itertools import accumulate, pairwise

import pytest
import torch
from torch.nn import functional

from engine.pipelines.seedvr import attention


@pytest.mark.parametrize("lengths", [[7], [5, 9, 5, 5, 9, 1], [3] * 40])
def test_it_is_what_each_window_alone_gives(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "AT_ONCE", 24)
    torch.manual_seed(0)
    ends = [0, *accumulate(lengths)]
    q, k, v = (torch.randn(ends[-1], 2, 8) for _ in range(3))
    found = attention.within_windows(
        q, k, v, cu_seqlens_q=torch.tensor(ends), cu_seqlens_k=torch.tensor(ends), max_seqlen_q=9
    )
    for begin, end in pairwise(ends):
        heads = [one[begin:end].transpose(0, 1)[None] for one in (q, k, v)]
        alone = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        assert torch.allclose(found[begin:end], alone[0].transpose(0, 1), atol=1e-5)
