"""Says a scene in words: the wordings that wan-tiny is trained on.

Standard library only. Whatever say() says, grammar.parse() must read back as the same scene.
"""

import random
from dataclasses import replace

from engine.pipelines.wan_tiny.vocabulary import Scene, Subject, held_out, parse
from engine.pipelines.wan_tiny.words import (
    COLOURS,
    DIRECTIONS,
    MOTIONS,
    PLACES,
    RGB,
    SHAPES,
    SIZES,
    VERBS,
)

_ALONE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "up": (("rises", "rise", "rising"), ("climbs", "climb", "climbing")),
    "down": (
        ("falls", "fall", "falling"),
        ("drops", "drop", "dropping"),
        ("sinks", "sink", "sinking"),
    ),
    "bounce": (
        ("bounces", "bounce", "bouncing"),
        ("jumps", "jump", "jumping"),
        ("hops", "hop", "hopping"),
        ("bounces up and down", "bounce up and down", "bouncing up and down"),
    ),
    "grow": (
        ("grows", "grow", "growing"),
        ("expands", "expand", "expanding"),
        ("gets bigger", "get bigger", "getting bigger"),
        ("gets larger", "get larger", "getting larger"),
    ),
    "shrink": (
        ("shrinks", "shrink", "shrinking"),
        ("gets smaller", "get smaller", "getting smaller"),
    ),
    "spin": (
        ("spins", "spin", "spinning"),
        ("rotates", "rotate", "rotating"),
        ("spins around", "spin around", "spinning around"),
    ),
    "still": (
        ("stands still", "stand still", "standing still"),
        ("stays still", "stay still", "staying still"),
        ("sits still", "sit still", "sitting still"),
        ("is motionless", "are motionless", "being motionless"),
    ),
}
_STRAIGHT = ("{0}", "{0}", "to the {0}", "{0}wards", "{0}ward", "towards the {0}", "straight {0}")
_SLANTED = (
    "{0} and to the {1}",
    "{0} and {1}",
    "{0} {1}",
    "{0}-{1}",
    "diagonally {0} and {1}",
    "towards the {2} {1}",
    "to the {2} {1}",
    "to the {2} {1} corner",
    "{1} and {0}",
)
_EXTRA = ("shiny", "cute", "funny", "bright", "lonely", "happy", "wooden", "nice", "magic", "soft")


def say(rng: random.Random, scene: Scene) -> str:
    """One wording of the scene that parse() reads back as the same scene.

    Some wordings are ambiguous ("under" can turn subjects round); those are thrown away.
    """
    for _ in range(20):
        prompt = _sentence(rng, scene)
        if parse(prompt) == scene:
            return prompt
    raise ValueError(f"no wording reads back as {scene}")


def _sentence(rng: random.Random, scene: Scene) -> str:
    where = _where(rng, scene)
    what = _pair(rng, scene) if len(scene.subjects) == 2 else _single(rng, scene.subjects[0])
    order = rng.random()
    if not where:
        prompt = what
    elif order < 0.75:
        prompt = f"{what}{rng.choice((' ', ' ', ' ', ', '))}{where}"
    else:
        prompt = f"{where}{rng.choice((' ', ', '))}{what}"
    if rng.random() < 0.06:
        prompt = f"{rng.choice(('a video of', 'a clip of', 'show me'))} {prompt}"
    if rng.random() < 0.08:
        prompt += "."
    return prompt


def _single(rng: random.Random, subject: Subject) -> str:
    noun = _noun(rng, subject)
    if subject.motion == "still" and rng.random() < 0.5:
        return noun
    third, _, going = motion_forms(rng, subject.motion)
    return noun + rng.choice(
        (f" {third}", f" {third}", f" {going}", f", {going}", f" that {third}")
    )


def _pair(rng: random.Random, scene: Scene) -> str:
    first, second = scene.subjects
    shared = first.motion == second.motion
    sideways = first.motion in ("left", "right") or second.motion in ("left", "right")
    told = scene.layout == ("stacked" if sideways else "beside")
    if not told or rng.random() < 0.25:
        relation, turned = rng.choice(
            (("above", False), ("below", True), ("under", True), ("beneath", True))
            if scene.layout == "stacked"
            else (
                ("beside", False),
                ("next to", False),
                ("to the left of", False),
                ("left of", False),
                ("to the right of", True),
                ("right of", True),
            )
        )
        joint = f" {relation} "
        if turned:
            first, second = second, first
    else:
        joint = rng.choice((" and ", " and ", ", ", " while "))
    one, two = _noun(rng, first), _noun(rng, second)
    if shared:
        _, bare, going = motion_forms(rng, second.motion)
        if second.motion == "still" and rng.random() < 0.5:
            return f"{one}{joint}{two}"
        return f"{one}{joint}{two} {rng.choice((bare, going, 'both ' + bare))}"
    third1, _, going1 = motion_forms(rng, first.motion)
    third2, _, going2 = motion_forms(rng, second.motion)
    if rng.random() < 0.5:
        return f"{one} {third1}{joint}{two} {third2}"
    return f"{one} {going1}{joint}{two} {going2}"


def _noun(rng: random.Random, subject: Subject) -> str:
    words = [rng.choice(SHAPES[subject.shape])]
    forms = COLOURS[subject.colour]
    colour = forms[0] if rng.random() < 0.85 else rng.choice(forms)
    # Left out now and then: parse() then gives the shape's usual colour, or say() tries again.
    if rng.random() > 0.03:
        words.insert(0, colour)
    if subject.size != "medium" or rng.random() < 0.15:
        forms = SIZES[subject.size]
        words.insert(0, forms[0] if rng.random() < 0.6 else rng.choice(forms))
    if rng.random() < 0.04:
        words.insert(0, rng.choice(_EXTRA))
    article = "an" if words[0][0] in "aeiou" else "a"
    article = rng.choice((article, article, article, article, "the", "one", ""))
    return " ".join([article, *words]).strip()


def motion_forms(rng: random.Random, motion: str) -> tuple[str, str, str]:
    """How the motion is said: it moves, they move, moving."""
    if motion in _ALONE and (motion not in DIRECTIONS or rng.random() < 0.35):
        return rng.choice(_ALONE[motion])
    verb = VERBS[0] if rng.random() < 0.4 else rng.choice(VERBS)
    sideways, height = DIRECTIONS[motion]
    across = {-1: "left", 0: "", 1: "right"}[sideways]
    upright = {-1: "up", 0: "", 1: "down"}[height]
    if across and upright:
        corner = rng.choice({"up": ("upper", "top"), "down": ("lower", "bottom")}[upright])
        way = rng.choice(_SLANTED).format(upright, across, corner)
    elif upright:
        way = rng.choice((upright, upright, f"{upright}wards", f"{upright}ward"))
    else:
        way = rng.choice(_STRAIGHT).format(across)
    return f"{verb[0]} {way}", f"{verb[1]} {way}", f"{verb[2]} {way}"


def _where(rng: random.Random, scene: Scene) -> str:
    top, bottom = scene.background
    places = [place for place, colours in PLACES.items() if colours == scene.background]
    default = "black" if any(s.colour == "white" for s in scene.subjects) else "white"
    if top == bottom == default and rng.random() < 0.3:
        return ""
    if places and rng.random() < 0.55:
        return _place(rng, rng.choice(places), top if top == bottom else "")
    colours = [rng.choice(COLOURS[c]) if rng.random() < 0.1 else c for c in (top, bottom)]
    if top != bottom:
        return rng.choice(
            (
                "on a background fading from {0} to {1}",
                "on a {0} to {1} gradient",
                "on a gradient from {0} to {1}",
                "on a background that fades from {0} to {1}",
                "on a {0} and {1} background",
                "with a {0} to {1} background",
                "in front of a gradient from {0} to {1}",
            )
        ).format(*colours)
    if rng.random() < 0.12:
        place = rng.choice([place for place, (a, b) in PLACES.items() if a == b])
        return f"{rng.choice(('on', 'over', 'across'))} {colours[0]} {place}"
    return rng.choice(
        (
            "on a {0} background",
            "on a {0} background",
            "on a plain {0} background",
            "on {0}",
            "in front of a {0} wall",
            "over a {0} background",
            "against a {0} backdrop",
            "across a {0} field",
            "{0} background",
            "with a {0} background",
        )
    ).format(colours[0])


def _place(rng: random.Random, place: str, colour: str) -> str:
    if place in ("night", "sunset", "dawn"):
        plain = (f"at {place}", f"in the {place}")
        return rng.choice((*plain, f"in a {colour} {place}") if colour else (*plain, f"at {place}"))
    ways = ["on", "over", "across"] if place not in ("sky", "space") else ["in", "across"]
    named = place if place == "space" else rng.choice((place, f"the {place}"))
    if colour and rng.random() < 0.35:
        named = rng.choice((f"{colour} {place}", f"the {colour} {place}", f"a {colour} {place}"))
    return f"{rng.choice(ways)} {named}"


# --- composing a prompt --------------------------------------------------------------------


def compose(
    rng: random.Random,
    *,
    held: bool = False,
    two: bool | None = None,
    motions: tuple[str, ...] = MOTIONS,
) -> tuple[str, Scene]:
    """Draw a prompt and the scene it asks for, with some of the motions.

    held: only scenes kept away from training (the default draws only scenes for training).
    two: with two subjects or one; None draws 30 % with two.
    """
    if two is None:
        two = rng.random() < 0.3
    while True:
        scene = draw_scene(rng, two=two, motions=motions)
        if held_out(scene) == held:
            break
    return say(rng, scene), scene


def draw_scene(rng: random.Random, *, two: bool, motions: tuple[str, ...] = MOTIONS) -> Scene:
    """Draw any scene, held out or not, whose subjects stand out from the background."""
    colours = list(COLOURS)
    rng.shuffle(colours)
    kind = rng.random()
    if kind < 0.3:
        background = PLACES[rng.choice(list(PLACES))]
    elif kind < 0.5:
        background = (colours[0], colours[1])
    else:
        background = (colours[0], colours[0])
    free = [colour for colour in colours if _stands_out(colour, background)]
    if not two:
        shape = rng.choice(list(SHAPES))
        return Scene((_draw_subject(rng, shape, free[0], motions),), background)
    layout = rng.choice(("stacked", "beside"))
    moving = ("left", "right") if layout == "stacked" else ("up", "down", "bounce")
    usual = (*moving, *moving, "grow", "shrink", "spin", "still")
    motions = tuple(motion for motion in usual if motion in motions)
    shapes = rng.choices(list(SHAPES), k=2)
    first = _draw_subject(rng, shapes[0], free[0], motions)
    second = _draw_subject(rng, shapes[1], free[1], motions)
    if rng.random() < 0.4:
        motion = first.motion if shapes[1] not in ("circle", "ring") else second.motion
        if motion != "spin" or shapes[0] not in ("circle", "ring"):
            first, second = replace(first, motion=motion), replace(second, motion=motion)
    return Scene((first, second), background, layout)


def _stands_out(colour: str, background: tuple[str, str]) -> bool:
    """False if the background has this colour, or passes close to it on its way down the frame."""
    if colour in background:
        return False
    top, bottom, own = RGB[background[0]], RGB[background[1]], RGB[colour]
    for share in (0.25, 0.5, 0.75):
        mixed = [a + (b - a) * share for a, b in zip(top, bottom, strict=True)]
        if sum((m - o) ** 2 for m, o in zip(mixed, own, strict=True)) < 75**2:
            return False
    return True


def _draw_subject(rng: random.Random, shape: str, colour: str, motions: tuple[str, ...]) -> Subject:
    # Nobody can see a circle or a ring spin.
    if shape in ("circle", "ring"):
        motions = tuple(motion for motion in motions if motion != "spin")
    size = rng.choice(("small", "medium", "medium", "large"))
    return Subject(shape, colour, size, rng.choice(motions))
