"""Pieces that overlap, and what each counts."""

from itertools import pairwise

import pytest
import torch

from engine.pipelines.seedvr.pieces import noise, starts, weights


@pytest.mark.parametrize("total", [1, 5, 9, 10, 21, 61, 135, 234])
@pytest.mark.parametrize(("size", "share"), [(5, 2), (9, 2), (64, 8), (21, 3)])
def test_pieces_of_one_size_cover_all_and_share_enough(total: int, size: int, share: int) -> None:
    begins = starts(total, size, share)
    long = min(size, total)
    assert begins[0] == 0
    assert begins[-1] + long == total
    for before, after in pairwise(begins):
        assert 0 < after - before <= size - share
    whole = torch.zeros(total)
    for begin, counts in zip(begins, weights(begins, size, total), strict=True):
        assert counts.shape == (long,)
        assert bool((counts > 0).all())
        whole[begin : begin + long] += counts
    assert torch.allclose(whole, torch.ones(total), atol=1e-6)


def test_from_one_to_the_next_it_goes_in_a_straight_line() -> None:
    first, last = weights([0, 3], 5, 8)
    assert first.tolist() == pytest.approx([1, 1, 1, 2 / 3, 1 / 3])
    assert last.tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def test_a_latent_frame_has_its_own_noise_whatever_window_it_is_in() -> None:
    shape = (16, 4, 6)
    whole = noise(7, 0, 9, shape)
    assert torch.equal(noise(7, 4, 3, shape), whole[4:7])
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(noise(8, 0, 1, shape), whole[:1])
    assert noise(2**63 - 1, 5, 1, shape).shape == (1, *shape), "the largest seed there is"
    assert whole.std().item() == pytest.approx(1, abs=0.05)
