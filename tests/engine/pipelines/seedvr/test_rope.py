"""Positions: a table as large as its windows, and pairs that are turned."""

from typing import Any

import pytest
import torch

from engine.pipelines.seedvr import rope


def axes(*sides: int) -> torch.Tensor:
    """As LightX2V's: each axis' angles, each twice, side by side."""
    speeds = 1 / 10000 ** (torch.arange(0, 6, 2) / 6)
    parts = []
    for axis, side in enumerate(sides):
        angle = (torch.arange(side)[:, None] * speeds).repeat_interleave(2, -1)
        shape = [1] * len(sides) + [6]
        shape[axis] = side
        parts.append(angle.view(shape).expand(*sides, 6))
    return torch.cat(parts, -1)


def test_each_window_begins_behind_its_text() -> None:
    asked: list[tuple[int, ...]] = []

    def told(*sides: int) -> torch.Tensor:
        asked.append(sides)
        return axes(*sides)

    places, texts = torch.tensor([[2, 3, 4], [1, 5, 2]]), torch.tensor([[7], [7]])
    seen, words = rope.angles(told, places, texts)
    whole = axes(16, 8, 8)
    assert torch.equal(seen[:24], whole[7:9, :3, :4].reshape(-1, 18))
    assert torch.equal(seen[24:], whole[7:8, :5, :2].reshape(-1, 18))
    assert torch.equal(words, axes(7).repeat(1, 3).repeat(2, 1))
    assert asked == [(9, 5, 4), (7,)], "and no larger table than that"


def test_pairs_are_turned_in_place_and_what_is_behind_them_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rope, "AT_ONCE", 4)
    torch.manual_seed(0)
    tokens: Any = torch.randn(11, 2, 8)
    freqs = torch.randn(11, 3).repeat_interleave(2, -1)
    turns = torch.polar(torch.ones(11, 1, 3), freqs[:, None, ::2])
    pairs = torch.view_as_complex(tokens[..., :6].reshape(11, 2, 3, 2).contiguous())
    wanted = torch.view_as_real(pairs * turns).flatten(-2)
    behind = tokens[..., 6:].clone()
    assert rope.turned(tokens, freqs) is tokens
    assert torch.allclose(tokens[..., :6], wanted, atol=1e-6)
    assert torch.equal(tokens[..., 6:], behind)
