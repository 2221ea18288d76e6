"""The renderer's geometry and the judge's word on true renderings."""

import random
from dataclasses import replace

import pytest
import torch

from engine.pipelines.wan_tiny.training.judge import judge, score
from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter, render
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject
from engine.pipelines.wan_tiny.words import DIRECTIONS, SHAPES


def clip_of(scene: Scene, height: int = 64, width: int = 64, frames: int = 9) -> torch.Tensor:
    slots = torch.tensor([slots_of(scene)])
    return render(slots, torch.zeros(1, 2, 7), frames, height, width)


def centre(frame: torch.Tensor) -> tuple[float, float]:
    """Where the red pixels of [3, H, W] lie, in shares of the frame."""
    red = (frame[0] > 0.3) & (frame[1] < -0.2)
    rows, columns = red.nonzero().T.float()
    return float(columns.mean()) / frame.shape[2], float(rows.mean()) / frame.shape[1]


@pytest.mark.parametrize("motion", DIRECTIONS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 112)])
def test_things_move_where_they_are_told(motion: str, height: int, width: int) -> None:
    scene = Scene((Subject("circle", "red", "medium", motion),), ("white", "white"))
    clip = clip_of(scene, height, width)[0]
    x0, y0 = centre(clip[:, 0])
    x1, y1 = centre(clip[:, -1])
    across, down = DIRECTIONS[motion]
    assert x1 - x0 == pytest.approx(0.46 * across, abs=0.03)
    assert y1 - y0 == pytest.approx(0.46 * down, abs=0.03)


def test_growing_covers_more_and_a_clip_is_in_range() -> None:
    scene = Scene((Subject("square", "red", "medium", "grow"),), ("blue", "white"))
    clip = clip_of(scene)[0]
    covered = ((clip[0] > 0.3) & (clip[1] < -0.2)).sum((1, 2))
    assert bool((covered[1:] > covered[:-1]).all())
    assert float(clip.min()) >= -1
    assert float(clip.max()) <= 1
    assert clip[2, 0, 0, 0] > clip[0, 0, 0, 0]  # blue at the top


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_recognised_and_covers_a_like_area(shape: str) -> None:
    scene = Scene((Subject(shape, "red", "large", "left"),), ("white", "white"))
    clip = clip_of(scene)
    assert judge(clip)[0].subjects[0].shape == shape
    share = float((clip[0, 1, 0] < 0.2).float().mean())
    assert 0.08 < share < 0.25


@pytest.mark.parametrize("two", [False, True])
def test_the_judge_is_right_about_true_renderings_and_wrong_about_others(two: bool) -> None:
    rng = random.Random(11)
    scenes = [compose(rng, held=True, two=two)[1] for _ in range(24)]
    slots = torch.tensor([slots_of(scene) for scene in scenes])
    clips = render(slots, draw_jitter(24, torch.Generator().manual_seed(1)), 17, 64, 64)
    verdicts = judge(clips)
    right = [score(s, v).all for s, v in zip(scenes, verdicts, strict=True)]
    assert sum(right) >= 23
    turned = [score(s, v).all for s, v in zip(scenes[1:], verdicts, strict=False)]
    assert sum(turned) <= 1


def test_the_judge_sees_a_wrong_order_of_two() -> None:
    first, second = Subject("star", "red"), Subject("heart", "blue")
    scene = Scene((first, second), ("white", "white"), "beside")
    verdict = judge(clip_of(scene))[0]
    assert score(scene, verdict).all
    assert not score(replace(scene, subjects=(second, first)), verdict).all


def test_an_empty_clip_shows_nothing() -> None:
    verdict = judge(torch.full((1, 3, 9, 64, 64), 0.92))[0]
    assert verdict.subjects == ()
    assert verdict.background == ("white", "white")


def test_the_same_seed_draws_the_same() -> None:
    one, two = (draw_jitter(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)
