"""Prompts for a picture: people say what moves and how, and leave to the picture how it looks.

Standard library only. "whole" describes the picture as wan-tiny's own prompts do, "bare" says the
motion alone, "other" describes another picture, and the picture is right.
"""

import random
from dataclasses import replace

from engine.pipelines.wan_tiny.training.phrases import draw_scene, motion_forms, say
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject, held_out
from engine.pipelines.wan_tiny.words import COLOURS, OFFERED, SHAPES

KINDS = {"whole": 0.35, "bare": 0.5, "other": 0.15}  # and how often each is drawn
_PACES = ("slowly", "quickly", "fast", "gently")


def compose_for_picture(
    rng: random.Random,
    *,
    held: bool = False,
    two: bool | None = None,
    motions: tuple[str, ...] = OFFERED,
    kind: str | None = None,
) -> tuple[str, Scene]:
    """Draw a prompt and the scene that its clip shows, which the picture begins.

    held, two, motions: as phrases.compose. kind: one of KINDS; None draws one.
    """
    if two is None:
        two = rng.random() < 0.4
    kind = kind or rng.choices(list(KINDS), list(KINDS.values()))[0]
    while True:
        scene = draw_scene(rng, two=two, motions=motions)
        if held_out(scene) == held:
            break
    if kind == "bare":
        return say_motion(rng, scene), scene
    return say(rng, _otherwise(rng, scene, held) if kind == "other" else scene), scene


def say_motion(rng: random.Random, scene: Scene) -> str:
    """What moves how, without the picture's other half: "it moves left", "the star grows"."""
    first, *rest = scene.subjects
    third, bare, going = motion_forms(rng, first.motion)
    if not rest:
        name = rng.choice(("it", "it", _name(rng, first), _name(rng, first), "the shape"))
        prompt = rng.choice(
            (f"{name} {third}", f"{name} {third}", f"{name} is {going}", going, bare)
        )
    elif rest[0].motion == first.motion:
        pair = f"{_name(rng, first, rest[0])} and {_name(rng, rest[0], first)}"
        prompt = rng.choice((f"both {bare}", f"they {bare}", f"{pair} {bare}", f"both are {going}"))
    else:
        parts = [
            f"{_name(rng, first, rest[0])} {third}",
            f"{_name(rng, rest[0], first)} {motion_forms(rng, rest[0].motion)[0]}",
        ]
        rng.shuffle(parts)
        prompt = rng.choice((" and ", ", ", " while ")).join(parts)
    if rng.random() < 0.1:
        prompt = f"{prompt} {rng.choice(_PACES)}"
    return prompt + "." if rng.random() < 0.08 else prompt


def _name(rng: random.Random, subject: Subject, beside: Subject | None = None) -> str:
    """The thing; with its colour where another one has its shape."""
    alike = beside is not None and beside.shape == subject.shape
    words = [rng.choice(SHAPES[subject.shape])]
    if alike or rng.random() < 0.4:
        words.insert(
            0, rng.choice(COLOURS[subject.colour]) if rng.random() < 0.1 else subject.colour
        )
    return " ".join([rng.choice(("the", "the", "the", "a")), *words])


def _otherwise(rng: random.Random, scene: Scene, held: bool) -> Scene:
    """The same motions in a scene that looks otherwise; the scene itself where two move each in
    its own way, and only their looks say which."""
    pair = len(scene.subjects) == 2
    if pair and scene.subjects[0].motion != scene.subjects[1].motion:
        return scene
    while True:
        looks = draw_scene(rng, two=pair)
        subjects = tuple(
            replace(look, motion=subject.motion)
            for look, subject in zip(looks.subjects, scene.subjects, strict=True)
        )
        other = Scene(subjects, looks.background, scene.layout)
        if held or not held_out(other):
            return other
