"""The sentences wan-tiny understands: composes them for training and reads them for judging.

Standard library only: the page imports this, and the page must never import torch.
"""

import re
import zlib
from dataclasses import dataclass, replace

from engine.pipelines.wan_tiny.words import (
    COLOURS,
    DIRECTIONS,
    HEADINGS,
    JOINING,
    MOTIONS,
    MOVING,
    OFFERED,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    VERBS,
)

EXAMPLES: tuple[str, ...] = (
    "a red ball rolls left over green grass",
    "a small yellow star rises in a black night",
    "a large pink heart grows on a white background",
    "a blue square moves down and to the right on a yellow background",
    "a white moon drifts up at sunset",
    "an orange ball bounces on a purple background",
    "a green triangle slides right on a background fading from blue to pink",
    "a red heart moves left and a blue star moves right on a white background",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that moves. Every field is a key of engine.pipelines.wan_tiny.words."""

    shape: str
    colour: str
    size: str = "medium"
    motion: str = "still"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a prompt asks for.

    subjects: one or two; with layout "stacked" the first is above the second, with "beside" it is
    on its left. background: the colour at the top of the frame and the colour at the bottom.
    """

    subjects: tuple[Subject, ...]
    background: tuple[str, str]
    layout: str = "one"


def _forms(groups: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {form: key for key, forms in groups.items() for form in forms}


_SHAPE = _forms(SHAPES)
_COLOUR = _forms(COLOURS)
_SIZE = _forms(SIZES)
_VERB = frozenset(form for forms in VERBS for form in forms)
_KNOWN = (
    frozenset({*_SHAPE, *_COLOUR, *_SIZE, *PLACES, *MOVING, *HEADINGS, *RELATIONS})
    | _VERB
    | JOINING
)
_WITHDRAWN = frozenset(word for word, motion in MOVING.items() if motion not in OFFERED)
_DEFAULT_COLOUR = {
    "circle": "red",
    "square": "blue",
    "triangle": "green",
    "star": "yellow",
    "heart": "pink",
    "ring": "purple",
    "moon": "white",
}


def vocabulary() -> tuple[str, ...]:
    """Every word form and sign that the tokenizer knows, sorted."""
    plurals = {f"{form}s" for form in _SHAPE} | {"boxes"}
    return tuple(sorted(_KNOWN | plurals | {",", ".", "-", "!", "'"}))


def known_words() -> dict[str, tuple[str, ...]]:
    """The words to tell people about, by group, most usual first."""
    return {
        "shapes": tuple(forms[0] for forms in SHAPES.values()),
        "colours": tuple(COLOURS),
        "sizes": tuple(SIZES),
        "directions": tuple(DIRECTIONS),
        "motions": ("bounces", "grows", "shrinks", "stays still"),
        "places": tuple(PLACES),
    }


def _singular(word: str) -> str:
    for ending in ("es", "s"):
        stem = word.removesuffix(ending)
        if stem != word and stem in _SHAPE:
            return stem
    return word


def words_of(prompt: str) -> list[str]:
    """The prompt's words: lower case, without signs, shapes in the singular."""
    return [_singular(word) for word in re.findall(r"[^\W_]+", prompt.lower())]


def unknown_words(prompt: str) -> tuple[str, ...]:
    """The prompt's words that wan-tiny can't do anything with, in order, each once."""
    known = _KNOWN - _WITHDRAWN
    return tuple(dict.fromkeys(word for word in words_of(prompt) if word not in known))


def held_out(scene: Scene) -> bool:
    """True if some subject's shape, colour and motion together are kept away from training."""
    return any(_kept_away(subject) for subject in scene.subjects)


def _kept_away(subject: Subject) -> bool:
    key = f"{subject.shape}|{subject.colour}|{subject.motion}"
    return zlib.crc32(key.encode()) % 10 == 0


# --- reading a prompt ----------------------------------------------------------------------


def parse(prompt: str) -> Scene:
    """Read a prompt by rule. Never fails: what isn't said gets a fixed default.

    Defaults: a circle, its shape's usual colour, medium, still; a white background (black if
    some subject is white). More than two subjects: the first two count.
    """
    words = words_of(prompt)
    nouns = [i for i, word in enumerate(words) if word in _SHAPE][:2]
    background, taken = _read_background(words)
    subjects = [_read_subject(words, noun, taken) for noun in nouns] or [("circle", "", "medium")]
    colours = [colour for _, colour, _ in subjects]
    if background is None:
        background = ("black", "black") if "white" in colours else ("white", "white")
    motions, layout, in_order = _read_motions(words, nouns)
    scene = Scene(
        subjects=tuple(
            Subject(shape, colour or _default_colour(shape, background), size, motion)
            for (shape, colour, size), motion in zip(subjects, motions, strict=True)
        ),
        background=background,
        layout=layout,
    )
    return scene if in_order else replace(scene, subjects=scene.subjects[::-1])


def _default_colour(shape: str, background: tuple[str, str]) -> str:
    colour = _DEFAULT_COLOUR[shape]
    if colour not in background:
        return colour
    return "white" if "white" not in background else "black"


def _read_subject(words: list[str], noun: int, taken: frozenset[int]) -> tuple[str, str, str]:
    colour, size = "", "medium"
    for i in range(noun - 1, -1, -1):
        word = words[i]
        if i in taken or not (word in _COLOUR or word in _SIZE or word in ("sized", "and")):
            break
        colour = colour or _COLOUR.get(word, "")
        size = _SIZE.get(word, size)
    if words[noun + 1 : noun + 3] in (["that", "is"], ["which", "is"]):
        colour = colour or _COLOUR.get(" ".join(words[noun + 3 : noun + 4]), "")
    return _SHAPE[words[noun]], colour, size


def _read_background(words: list[str]) -> tuple[tuple[str, str] | None, frozenset[int]]:
    """The two background colours, and which positions in words they were read from."""
    colours = [i for i, word in enumerate(words) if word in _COLOUR]
    shapes = [i for i, word in enumerate(words) if word in _SHAPE]
    bound = {i for i in colours for noun in shapes if _adjoins(words, i, noun)}
    free = [i for i in colours if i not in bound]
    if free:
        # Of "a black night" the colour counts; "night" alone would mean the same or its default.
        names = [_COLOUR[words[i]] for i in free[:2]]
        return (names[0], names[-1]), frozenset(free)
    place = next((word for word in words if word in PLACES), None)
    return (PLACES[place] if place else None), frozenset()


def _adjoins(words: list[str], colour: int, noun: int) -> bool:
    between = words[colour + 1 : noun]
    if colour < noun and all(
        word in _COLOUR or word in _SIZE or word == "sized" for word in between
    ):
        return True
    return colour == noun + 3 and words[noun + 1 : noun + 3] in (["that", "is"], ["which", "is"])


def _read_motions(words: list[str], nouns: list[int]) -> tuple[list[str], str, bool]:
    """Each subject's motion, the layout, and whether the first subject is the upper or left one."""
    if len(nouns) < 2:
        return [_motion_in(words)], "one", True
    relation, between = _relation_in(words[nouns[0] + 1 : nouns[1]])
    first = _motion_in(words[: nouns[0]] + between)
    second = _motion_in(words[nouns[1] + 1 :])
    said_first = _says_motion(words[: nouns[0]] + between)
    motions = [first if said_first else second, second]
    if said_first and not _says_motion(words[nouns[1] + 1 :]):
        motions = [first, first if _says_motion(words[: nouns[0]]) else "still"]
    if relation:
        return motions, relation[0], relation[1]
    stacked = any(motion in ("left", "right") for motion in motions)
    return motions, "stacked" if stacked else "beside", True


def _relation_in(words: list[str]) -> tuple[tuple[str, bool] | None, list[str]]:
    """The relation said between two subjects, and the other words there."""
    for i, word in enumerate(words):
        if word in ("left", "right") and words[i + 1 : i + 2] == ["of"]:
            return ("beside", word == "left"), words[:i] + words[i + 2 :]
        if word in RELATIONS:
            return RELATIONS[word], words[:i] + words[i + 1 :]
    return None, words


def _says_motion(words: list[str]) -> bool:
    return any(word in MOVING or word in HEADINGS for word in words)


def _motion_in(words: list[str]) -> str:
    own = [MOVING[word] for word in words if word in MOVING]
    if own and own[0] not in ("up", "down"):
        return own[0]
    steps = {HEADINGS[word] for word in words if word in HEADINGS} | set(own[:1])
    vertical = "" if {"up", "down"} <= steps else "up" if "up" in steps else "down"
    if vertical and vertical not in steps:
        vertical = ""
    sideways = next((step for step in ("left", "right") if step in steps), "")
    motion = f"{vertical} {sideways}".strip()
    return motion if motion in MOTIONS else "still"
