"""The world of clips that begin with a picture, its prompts, and what judges them."""

import random

import pytest
import torch

from engine.pipelines.wan_tiny.training.checker import report
from engine.pipelines.wan_tiny.training.evaluate_pictures import examples, fidelity, given
from engine.pipelines.wan_tiny.training.judge import judge
from engine.pipelines.wan_tiny.training.picture_phrases import KINDS, compose_for_picture
from engine.pipelines.wan_tiny.training.pictures import begin, blocky, clean
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject, held_out, parse, unknown_words
from engine.pipelines.wan_tiny.words import COLOURS, DIRECTIONS, OFFERED


def slots(scene: Scene, count: int = 1) -> torch.Tensor:
    return torch.tensor([slots_of(scene)] * count)


@pytest.mark.parametrize("motion", OFFERED)
def test_where_a_thing_is_says_nothing_of_where_it_goes(motion: str) -> None:
    jitter = draw_jitter(8, torch.Generator().manual_seed(1))
    firsts = []
    for said in (motion, "still"):
        scene = Scene((Subject("circle", "red", "medium", said),), ("white", "white"))
        firsts.append(clean(slots(scene, 8), jitter, (64, 64, 9), 0.2)[:, :, 0])
    places = [first[:, 1].lt(-0.2).float() for first in firsts]
    middles = [
        torch.stack([(p.nonzero()[:, i] + 0.5).mean() / 64 for p in at for i in (0, 1)])
        for at in places
    ]
    assert torch.allclose(middles[0], middles[1], atol=0.02)


@pytest.mark.parametrize("motion", DIRECTIONS)
def test_things_go_on_from_where_they_are(motion: str) -> None:
    scene = Scene((Subject("circle", "red", "medium", motion),), ("white", "white"))
    clip = clean(slots(scene), torch.zeros(1, 2, 7), (64, 64, 9), 0.2)
    assert judge(clip)[0].subjects[0].motion == motion
    red = clip[0, 1, 0].lt(-0.2).nonzero().float().mean(0) / 64
    assert torch.allclose(red, torch.tensor([0.5, 0.5]), atol=0.02)


def test_the_judge_is_right_about_true_clips_from_pictures() -> None:
    found = examples(32, (64, 64, 17), 5, ("whole", "bare"))
    figures = report(found.scenes, judge(found.truth))
    assert min(figures.values()) >= 0.95


def test_training_clips_begin_and_end_with_what_is_given() -> None:
    scene = Scene((Subject("star", "red", "small", "left"),), ("white", "blue"))
    drawn = begin(slots(scene, 64), (32, 48, 9), torch.Generator().manual_seed(2))
    assert drawn.clips.shape == (64, 3, 9, 32, 48)
    assert float(drawn.clips.abs().max()) <= 1
    assert 4 < int(drawn.ends.sum()) < 32
    alone = begin(slots(scene, 8), (32, 32, 1), torch.Generator().manual_seed(2))
    assert not alone.ends.any(), "one frame is the first"


def test_blocky_pictures_are_near_and_fine_steps_change_nothing() -> None:
    picture = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.allclose(blocky(picture, 1e-5), picture, atol=1e-4)
    assert 0.01 < float((blocky(picture, 0.2) - picture).abs().mean()) < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_say_the_motion_in_known_words(kind: str) -> None:
    rng = random.Random(3)
    strange = {"they", "wooden", "shiny", "cute", "funny", "bright", "lonely", "happy", "nice"}
    for i in range(200):
        prompt, scene = compose_for_picture(rng, kind=kind, two=i % 4 == 3)
        assert not held_out(scene)
        assert set(unknown_words(prompt)) <= strange | {"magic", "soft"}, prompt
        if len(scene.subjects) == 1:
            assert parse(prompt).subjects[0].motion == scene.subjects[0].motion, prompt


def test_what_is_judged_was_never_taught() -> None:
    rng = random.Random(4)
    drawn = [compose_for_picture(rng, held=True) for _ in range(60)]
    assert all(held_out(scene) for _, scene in drawn)


def test_bare_prompts_leave_the_looks_to_the_picture() -> None:
    rng = random.Random(5)
    prompts = [compose_for_picture(rng, kind="bare", two=False)[0] for _ in range(200)]
    plain = [p for p in prompts if not set(p.rstrip(".").split()) & set(COLOURS)]
    assert len(plain) > 100
    assert any(prompt.startswith("it ") for prompt in prompts)


def test_a_kept_picture_is_told_from_another() -> None:
    frame = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    same, other = given(frame, jpeg=False), given(-frame, jpeg=True)
    assert fidelity("first", [same], frame[None])["first_kept"] == 1
    assert fidelity("first", [other], frame[None])["first_kept"] == 0
