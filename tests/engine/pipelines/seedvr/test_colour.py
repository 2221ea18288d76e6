"""The clip's own colours."""

import torch

from engine.pipelines.seedvr.colour import as_in


def test_what_is_broad_is_the_clips_and_detail_stays() -> None:
    torch.manual_seed(0)
    clip = torch.linspace(-1, 1, 160).expand(2, 3, 96, 160)
    detail = torch.randn(2, 3, 96, 160) * 0.1
    shifted = clip + detail + 0.3  # a cast that was never there
    found = as_in(shifted, clip)
    assert (found - clip - detail).abs().mean() < 0.02
    assert (found - clip).std() > 0.09
    assert torch.equal(as_in(clip, clip), clip)


def test_small_pictures_have_one_colour() -> None:
    made, clip = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    assert torch.allclose(as_in(made, clip), clip)
