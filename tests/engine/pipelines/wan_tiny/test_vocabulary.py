"""The grammar: what is said is read back, what is held out is never taught."""

import random
import subprocess
import sys

import pytest

from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.vocabulary import (
    EXAMPLES,
    Scene,
    Subject,
    held_out,
    known_words,
    parse,
    unknown_words,
    vocabulary,
)
from engine.pipelines.wan_tiny.words import COLOURS, MOTIONS, OFFERED, SHAPES


def test_composed_prompts_are_read_back_as_their_scene() -> None:
    rng = random.Random(1)
    for _ in range(400):
        prompt, scene = compose(rng)
        assert parse(prompt) == scene, prompt


def test_training_never_sees_what_is_held_out() -> None:
    rng = random.Random(2)
    assert not any(held_out(compose(rng)[1]) for _ in range(500))
    assert all(held_out(compose(rng, held=True)[1]) for _ in range(50))


def test_every_shape_colour_and_motion_is_taught() -> None:
    rng = random.Random(3)
    subjects = [s for _ in range(2500) for s in compose(rng)[1].subjects]
    assert {s.shape for s in subjects} == set(SHAPES)
    assert {s.colour for s in subjects} == set(COLOURS)
    assert {s.motion for s in subjects} == set(MOTIONS)


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        (
            "a red ball rolls left over green grass",
            Scene((Subject("circle", "red", "medium", "left"),), ("green", "green")),
        ),
        (
            "a SMALL yellow star, rising in the night!",
            Scene((Subject("star", "yellow", "small", "up"),), ("black", "black")),
        ),
        (
            "a blue square moves up and to the right on a background fading from white to pink",
            Scene((Subject("square", "blue", "medium", "up right"),), ("white", "pink")),
        ),
        (
            "a white heart spins",
            Scene((Subject("heart", "white", "medium", "spin"),), ("black", "black")),
        ),
        (
            "a green ring under a red moon on a white background",
            Scene(
                (Subject("moon", "red"), Subject("ring", "green")), ("white", "white"), "stacked"
            ),
        ),
        (
            "a red ball moves left and a blue box moves right at sunset",
            Scene(
                (
                    Subject("circle", "red", "medium", "left"),
                    Subject("square", "blue", "medium", "right"),
                ),
                ("purple", "orange"),
                "stacked",
            ),
        ),
    ],
)
def test_prompts_are_understood(prompt: str, scene: Scene) -> None:
    assert parse(prompt) == scene


def test_unknown_words_are_named_once_and_in_order() -> None:
    assert unknown_words("A red dragon eats the red dragon's cake") == ("dragon", "eats", "cake")


def test_plurals_and_examples_hold_no_unknown_words() -> None:
    assert unknown_words("Red balls and blue boxes, rising.") == ()
    for example in EXAMPLES:
        assert unknown_words(example) == ()


def test_what_is_not_offered_is_not_composed_and_is_named() -> None:
    rng = random.Random(4)
    scenes = [compose(rng, motions=OFFERED)[1] for _ in range(300)]
    assert not any(s.motion == "spin" for scene in scenes for s in scene.subjects)
    assert unknown_words("a red star spins") == ("spins",)


def test_known_words_are_known() -> None:
    for words in known_words().values():
        assert unknown_words(" ".join(words)) == ()
    assert len(set(vocabulary())) == len(vocabulary())


@pytest.mark.starts
def test_the_page_can_use_the_grammar_without_torch() -> None:
    code = "import sys, engine.pipelines.wan_tiny.vocabulary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
