"""A rough look at a latent."""

import numpy as np
import pytest
import torch

from engine.pipelines.lightx2v.preview import FRAMES, rough_frames


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (3, 3), (5, 5), (21, FRAMES)])
def test_a_few_small_pictures(count: int, shown: int) -> None:
    frames = rough_frames(torch.randn(16, count, 6, 10))
    assert frames.shape == (shown, 6, 10, 3)
    assert frames.dtype == np.uint8
    assert frames.flags.c_contiguous


def test_they_are_spread_from_the_first_to_the_last() -> None:
    latents = torch.zeros(16, 21, 2, 2)
    latents[2] = torch.linspace(-2, 2, 21).view(21, 1, 1)  # its colour weights are all positive
    brightness = rough_frames(latents).mean(axis=(1, 2, 3))
    ends = rough_frames(latents[:, [0, 20]]).mean(axis=(1, 2, 3))
    assert list(brightness) == sorted(brightness)
    assert (brightness[0], brightness[-1]) == (ends[0], ends[1])


def test_half_precision_and_wild_values_are_no_matter() -> None:
    latents = torch.full((16, 1, 2, 2), 1000.0, dtype=torch.bfloat16)
    assert set(np.unique(rough_frames(latents))) <= {0, 255}
