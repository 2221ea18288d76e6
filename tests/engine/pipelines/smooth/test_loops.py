"""Clips whose end leads to their beginning."""

import numpy as np
import pytest

from engine.pipelines.base import Frame
from engine.pipelines.smooth.loops import is_loop
from tests.support.videos import moving


def turning(count: int, of: int) -> list[Frame]:
    """So many of ``of`` frames of a spot that goes round."""
    rows, columns = np.mgrid[:64, :96]
    frames = []
    for at in range(count):
        angle = 2 * np.pi * at / of
        far = np.hypot(rows - 32 - 16 * np.sin(angle), columns - 48 - 16 * np.cos(angle))
        frames.append(np.where(far < 12, 220, 60)[..., None].repeat(3, -1).astype(np.uint8))
    return frames


@pytest.mark.parametrize("of", [12, 24])
def test_what_goes_round_is_one_and_half_of_it_is_none(of: int) -> None:
    assert is_loop(turning(of, of))
    assert not is_loop(turning(of // 2, of))
    assert not is_loop(turning(of + 1, of)), "its last frame is its first: it stands still there"


def test_what_goes_there_and_back_is_one() -> None:
    there = [*moving(9)]
    assert is_loop([*there, *there[-2:0:-1]])
    assert not is_loop(there)


def test_a_picture_or_none_is_none() -> None:
    assert not is_loop([])
    assert not is_loop(moving(1))
    still = moving(1).repeat(8, 0)
    assert not is_loop(still)
