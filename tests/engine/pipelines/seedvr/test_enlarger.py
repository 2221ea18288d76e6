"""From frames to larger frames, whatever their number and size; with a network and a VAE that do
nothing (tests/contract/seedvr_cases.py has LightX2V's)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.pipelines.base import Cancelled
from engine.pipelines.seedvr import enlarger
from engine.pipelines.seedvr.enlarger import Most, SeedVr
from engine.stages import Frames
from tests.contract.seedvr_cases import Told
from tests.support.videos import moving

CPU = torch.device("cpu")
FILE = Path("none.safetensors")


class Network:
    """Gives back what it got; ``windows`` are the lengths of what it was asked for."""

    blocks = 4

    def __init__(self, *_: object) -> None:
        self.windows: list[int] = []
        self.noises: list[torch.Tensor] = []
        self.more = 0.0

    def step(
        self, noise: torch.Tensor, latents: torch.Tensor, watch: Callable[[], None]
    ) -> torch.Tensor:
        for _ in range(self.blocks):
            watch()
        self.windows.append(latents.shape[1])
        self.noises.append(noise)
        self.more += 1.0
        return latents + self.more


class Vae:
    """Means instead of latents, of every fourth frame."""

    def __init__(self, *_: object) -> None:
        self.closed = 0

    def move(self, there: bool) -> None:
        self.there = there

    def close(self) -> None:
        self.closed += 1

    def encode(self, frames: Any, shape: tuple[int, int, int], watch: Any) -> torch.Tensor:
        watch(0.0)
        assert shape[0] % 4 == 1
        whole = frames(0, shape[0])
        assert whole.shape == (3, *shape)
        small = functional.avg_pool2d(whole[:, ::4].flatten(0, 1)[None], 8)[0]
        return small.view(3, -1, *small.shape[-2:]).repeat(6, 1, 1, 1)[:16]

    def decode(self, latents: torch.Tensor, watch: Any) -> torch.Tensor:
        watch(0.5)
        four = latents[:3].repeat_interleave(4, 1)[:, 3:]
        return functional.interpolate(four, scale_factor=(8, 8), mode="nearest").half()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SeedVr]:
    monkeypatch.setattr(enlarger, "Network", Network)
    monkeypatch.setattr(enlarger, "Vae", Vae)

    def make(**most: int) -> SeedVr:
        return SeedVr(FILE, FILE, CPU, "block", Most(**most))

    return make


def run(seedvr: SeedVr, clip: Frames, high: int, wide: int, told: Told | None = None) -> Frames:
    return np.stack([*seedvr.enlarge(clip, len(clip), high, wide, 5, told or Told())])


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 13, 20])
def test_any_number_of_frames_of_any_size(made: Callable[..., SeedVr], count: int) -> None:
    clip = moving(count, 34, 50)
    told = Told()
    found = run(made(), clip, 70, 102, told)
    assert found.shape == (count, 70, 102, 3)
    assert found.dtype == np.uint8
    assert told.stages == [("encode", 0), ("denoise", 1), ("decode", 0)]
    assert all(0 <= share <= 1 for share in told.shares)
    larger = torch.from_numpy(clip).permute(0, 3, 1, 2).float()
    larger = functional.interpolate(larger, (70, 102), mode="bicubic", antialias=True)
    means = (found.mean((1, 2)), larger.clamp(0, 255).mean((2, 3)).numpy())
    assert np.abs(means[0] - means[1]).max() < 8, "the clip's own colours, whatever the network"


def test_windows_are_of_one_length_and_share_two(made: Callable[..., SeedVr]) -> None:
    seedvr = made(tokens=6 * 4 * 4)
    network: Any = seedvr._network
    run(seedvr, moving(53, 32, 32), 64, 64)
    assert network.windows == [6] * 3, "14 latent frames"
    first, second = network.noises[:2]
    assert torch.equal(first[:, 4:], second[:, :2]), "a frame has the same noise in both"


def test_a_clip_too_long_for_the_ram_is_made_in_parts_that_are_blended(
    made: Callable[..., SeedVr],
) -> None:
    clip = moving(60, 32, 32)
    told = Told()
    each = clip[0].size + 3 * 64 * 64 * 4
    found = run(made(held=21 * each), clip, 64, 64, told)
    assert found.shape == (60, 64, 64, 3)
    assert [stage for stage, _ in told.stages] == ["encode", "denoise", "decode"] * 5
    assert [round(60 * begin) for begin, _ in told.parts] == [0, 12, 24, 36, 48]
    assert sum(share for _, share in told.parts) == pytest.approx(1)
    whole = run(made(), clip, 64, 64)
    # The network of this test makes each window lighter; the clip's own colours come back.
    assert np.abs(found.astype(int) - whole).mean() < 6


def test_a_scene_is_enlarged_without_the_one_before(made: Callable[..., SeedVr]) -> None:
    rows, columns = np.mgrid[:64, :96]
    one = np.stack([((columns + 3 * at) // 8 % 2 * 200 + 20) for at in range(7)])
    other = np.stack([((rows * columns + 40 * at) // 96 % 5 * 50) for at in range(9)])
    clip = np.concatenate([one, other])[..., None].repeat(3, -1).astype(np.uint8)
    told = Told()
    found = run(made(), clip, 128, 192, told)
    assert [round(16 * begin) for begin, _ in told.parts] == [0, 7]
    assert len(told.stages) == 6
    for scene, begin in ((clip[:7], 0), (clip[7:], 7)):
        alone = run(made(), scene, 128, 192)
        assert np.abs(found[begin : begin + len(scene)].astype(int) - alone).max() <= 2


def test_of_no_frames_nothing_is_made(made: Callable[..., SeedVr]) -> None:
    assert [*made().enlarge([], 0, 64, 64, 1, Told())] == []


def test_a_source_that_ends_early_gives_what_it_has(made: Callable[..., SeedVr]) -> None:
    clip = moving(7, 32, 32)
    assert len([*made().enlarge(clip, 60, 64, 64, 1, Told())]) == 7
    each = clip[0].size + 3 * 64 * 64 * 4
    long = moving(40, 32, 32)
    assert len([*made(held=21 * each).enlarge(long, 90, 64, 64, 1, Told())]) == 40


@pytest.mark.parametrize("look", [1, 2, 4, 6])
def test_a_cancel_leaves_nothing_behind(made: Callable[..., SeedVr], look: int) -> None:
    seedvr = made()
    clip = moving(9, 32, 32)
    first = run(seedvr, clip, 64, 64)
    with pytest.raises(Cancelled):
        run(seedvr, clip, 64, 64, Told(ends=look))
    vae: Any = seedvr._vae
    assert vae.closed == 2
    seedvr._network.more = 0.0  # type: ignore[attr-defined]
    assert np.array_equal(run(seedvr, clip, 64, 64), first)
