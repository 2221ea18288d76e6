"""What somebody asks for, checked once, here: page, command line and queue all pass through it."""

import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from engine.errors import ExitCode, HeadroomError
from engine.letters import is_blank
from engine.presets import ModelPreset, Presets
from engine.process.console import one_line
from engine.text import Text, joined, listed, programs
from engine.timing import MOST_RATE, RATES

PROMPT_LIMIT = 2000
SEED_LIMIT = 2**32  # numpy's generators, which LightX2V seeds too, take no more than 32 bits
RANDOM_SEED = -1
GRID = 16  # pixels: the VAE halves three times, the transformer's patch once more
FIELDS = ("prompt", "height", "width", "frames", "seed", "model")
# Left out of the JSON form where they say nothing.
MORE_FIELDS = ("image", "last_image", "fit", "after", "adapters")
# Of another version of a clip (engine/versions.py), which nobody types.
VERSION_FIELDS = ("source", "fps")
Dimension = Literal["height", "width", "frames"]
DIMENSIONS: tuple[Dimension, ...] = ("height", "width", "frames")
Fit = Literal["crop", "pad"]  # a picture of another shape: what is over is cut off, or it has bars
SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_ADAPTERS = 8
STRONGEST = 4.0  # an adapter's strength, in either direction; 1 is what it was trained for
Kind = Literal["clip", "probe"]  # what is made of a request: the clip, or a measurement of its size


@dataclass(frozen=True)
class Size:
    """Height and width in pixels, frames as a count: height first, as in the recipe."""

    height: int
    width: int
    frames: int

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Length of the transformer's sequence: latent frames x 16-pixel patches."""
        return ((self.frames - 1) // 4 + 1) * (self.height // GRID) * (self.width // GRID)

    def __str__(self) -> str:
        return f"{self.height}×{self.width}×{self.frames}"

    def text(self, fps: int) -> Text:
        """As people read it, "832 × 480, 5.1 s": width first, the way pictures are named."""
        return Text("request.size", width=self.width, height=self.height, seconds=self.frames / fps)


@dataclass(frozen=True)
class Problem:
    """One refused field: a sentence that names it, and the nearest value that is valid."""

    field: str
    sentence: Text
    nearest: int | str | None = None

    def to_json(self) -> dict[str, Any]:
        """For programs: English, and the id behind it."""
        told = programs("sentence", self.sentence)
        return {"field": self.field, **told, "nearest": self.nearest}


class RequestError(HeadroomError):
    """A request that no model of ours can take; ``problems`` has one entry a refused field."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(joined(*(p.sentence for p in problems)))
        self.problems = problems

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"problems": [p.to_json() for p in self.problems]}


@dataclass(frozen=True)
class Adapter:
    """A LoRA by its file's SHA-256, and how strongly it counts."""

    sha256: str
    strength: float = 1.0


@dataclass(frozen=True)
class ClipRequest:
    """A valid request. ``seed`` -1 means "draw one"; the job and the receipt keep the drawn one.

    ``image``, ``last_image``: what the clip begins and ends with, by the SHA-256 of a kept picture
    (engine/pictures); ``fit``: how one of another shape meets the size. ``after``: the clip that
    this one goes on from, by its file's SHA-256: ``image`` is its last picture, and both become one
    file.

    ``source``: the clip that this is another version of, by its file's SHA-256; the prompt is that
    one's, and ``fps`` the frames a second that it shall have, None for the model's own. Its size is
    what comes out.
    """

    prompt: str
    height: int
    width: int
    frames: int
    seed: int
    model: str
    image: str | None = None
    last_image: str | None = None
    fit: Fit = "crop"
    after: str | None = None
    adapters: tuple[Adapter, ...] = ()
    source: str | None = None
    fps: int | None = None

    @property
    def size(self) -> Size:
        return Size(self.height, self.width, self.frames)

    def drawn_seed(self) -> int:
        """The seed that was asked for, or a drawn one."""
        return secrets.randbelow(SEED_LIMIT) if self.seed == RANDOM_SEED else self.seed

    @property
    def pictures(self) -> tuple[str, ...]:
        """The SHA-256 of each picture that it holds, the first one first."""
        return tuple(picture for picture in (self.image, self.last_image) if picture)

    @property
    def clip(self) -> str | None:
        """The clip that has to be here for this one to be made, by its file's SHA-256."""
        return self.source or self.after

    def to_json(self) -> dict[str, Any]:
        """The one JSON form: queue row, receipt and command line share it."""
        values = asdict(self)
        for name in (*MORE_FIELDS, *VERSION_FIELDS):
            if getattr(self, name) == getattr(ClipRequest, name):
                del values[name]
        return values | ({"adapters": list(values["adapters"])} if self.adapters else {})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ClipRequest":
        """The way back from ``to_json``, of a request that was checked; what a later version added
        is left out."""
        every = (*FIELDS, *MORE_FIELDS, *VERSION_FIELDS)
        known = {name: values[name] for name in every if name in values}
        adapters = tuple(Adapter(**adapter) for adapter in known.get("adapters", ()))
        return cls(**{**known, "adapters": adapters})

    @classmethod
    def check(
        cls, raw: Mapping[str, object], presets: Presets, probe: bool = False
    ) -> "ClipRequest":
        """Make a request from untrusted values; sizes left out come from the model's default.

        Args:
            raw: any of ``FIELDS`` and ``MORE_FIELDS``; whole numbers may come as floats or digits,
                because forms and JSON send them so.
            probe: it is only about its size, so that no picture is asked for.

        Raises:
            RequestError: names every field that is refused and the nearest valid value.
        """
        if raw.get("source") is not None and not probe:
            return cls._check_version(raw, presets)
        fields = (*FIELDS, *MORE_FIELDS)
        problems = [
            Problem(name, Text("request.no_such_field", field=name, fields=listed(*fields)))
            for name in map(one_line, raw)
            if name not in fields
        ]
        prompt = _prompt(raw.get("prompt"), problems)
        model = _model(raw.get("model"), presets, problems)
        preset = presets.models.get(model, presets.default)
        size = {name: _dimension(name, raw.get(name), preset, problems) for name in DIMENSIONS}
        seed = _seed(raw.get("seed"), problems)
        image, last_image = (
            _picture(name, raw.get(name), preset, problems) for name in ("image", "last_image")
        )
        if image is None and last_image is not None:
            problems.append(Problem("last_image", Text("request.last_without_first")))
        if image is None and model and preset.begins_with_picture and not (probe or problems):
            problems.append(Problem("image", Text("request.needs_picture", model=preset.name)))
        fit = _fit(raw.get("fit"), problems)
        after = _after(raw.get("after"), problems)
        adapters = _adapters(raw.get("adapters"), preset, problems)
        if problems:
            raise RequestError(tuple(problems))
        return cls(
            prompt=prompt,
            seed=seed,
            model=model,
            image=image,
            last_image=last_image,
            fit=fit if image else "crop",
            after=after if image else None,
            adapters=adapters,
            height=size["height"],
            width=size["width"],
            frames=size["frames"],
        )

    @classmethod
    def _check_version(cls, raw: Mapping[str, object], presets: Presets) -> "ClipRequest":
        """``check`` of another version of a clip: nobody types one, so it is right or refused."""
        problems: list[Problem] = []
        prompt, seed = _prompt(raw.get("prompt"), problems), _seed(raw.get("seed"), problems)
        model, source, rate = raw.get("model"), raw.get("source"), whole(raw.get("fps"))
        changers = [preset.id for preset in presets.models.values() if preset.changes_clips]
        if model not in changers:
            named = {"value": repr(str(model)[:60]), "models": listed(*changers)}
            problems.append(Problem("model", Text("request.no_such_model", **named)))
        if not isinstance(source, str) or not SHA256.fullmatch(source):
            told = Text("request.no_source", value=repr(str(source)[:60]))
            problems.append(Problem("source", told))
        # What gives a clip larger pictures leaves it its rate, whatever that is.
        enlarges = model in changers and presets.models[str(model)].enlarges
        if rate not in RATES and not (enlarges and rate is not None and 1 <= rate <= MOST_RATE):
            problems.append(no_rate(raw.get("fps")))
        size = {name: whole(raw.get(name)) or 0 for name in DIMENSIONS}
        for name in DIMENSIONS if not problems else ():
            limits = getattr(presets.models[str(model)].limits, name)
            odd = name != "frames" and size[name] % 2
            if odd or not limits.min <= size[name] <= limits.max:
                field, value = Text(f"request.field_{name}"), repr(str(raw.get(name))[:40])
                told = Text("request.no_version", field=field, value=value)
                problems.append(Problem(name, told))
        if problems:
            raise RequestError(tuple(problems))
        height, width, frames = (size[name] for name in DIMENSIONS)
        shape = prompt, height, width, frames, seed, str(model)
        return cls(*shape, source=str(source), fps=rate)


def no_rate(value: object) -> Problem:
    """What isn't a number of frames a second that a clip can be given."""
    number, rates = whole(value), listed(*map(str, RATES))
    nearest = 32 if number is None else min(RATES, key=lambda rate: abs(rate - number))
    return Problem(
        "fps", Text("request.no_rate", value=repr(str(value)[:40]), rates=rates), nearest
    )


def prompt_problems(prompt: str) -> tuple[Problem, ...]:
    """What is wrong with ``prompt``, wherever one is asked for."""
    problems: list[Problem] = []
    _prompt(prompt, problems)
    return tuple(problems)


def is_empty(prompt: str) -> bool:
    """Whether nothing is asked for; control characters that aren't spaces are a problem instead."""
    return not prompt.strip() or (is_blank(prompt) and not _odd(prompt))


def _prompt(value: object, problems: list[Problem]) -> str:
    if not isinstance(value, str) or is_empty(value):
        problems.append(Problem("prompt", Text("request.empty_prompt")))
        return ""
    text = unicodedata.normalize("NFC", value).strip()
    odd = _odd(text)
    clean = "".join(c for c in text if c not in odd)
    if len(text) > PROMPT_LIMIT:
        too_long = Text(
            "request.long_prompt",
            count=len(text),
            most=PROMPT_LIMIT,
            excess=len(text) - PROMPT_LIMIT,
        )
        problems.append(Problem("prompt", too_long, clean[:PROMPT_LIMIT]))
    if odd:
        names = ", ".join(f"U+{ord(c):04X}" for c in odd[:3])
        problems.append(Problem("prompt", Text("request.odd_prompt", signs=names), clean))
    return text


def _odd(text: str) -> list[str]:
    """Control characters (and lone surrogates, which no file can store) are never typed on
    purpose."""
    return sorted({c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"})


def _model(value: object, presets: Presets, problems: list[Problem]) -> str:
    if value is None or value == "":
        return presets.default.id
    makers = [preset.id for preset in presets.makers]
    if isinstance(value, str) and value in makers:
        return value
    named = repr(str(value)[:60])
    unknown = Text("request.no_such_model", value=named, models=listed(*makers))
    if isinstance(value, str) and value in presets.models:
        unknown = Text("request.changes_clips", value=named, models=listed(*makers))
    problems.append(Problem("model", unknown, presets.default.id))
    return ""


def _picture(
    name: Literal["image", "last_image"],
    value: object,
    preset: ModelPreset,
    problems: list[Problem],
) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        problems.append(Problem(name, Text("request.no_picture", value=repr(str(value)[:60]))))
        return None
    if name not in preset.inputs:
        told = Text("request.takes_no_picture", model=preset.name)
        if preset.from_picture:
            told = Text(
                "request.takes_no_picture_but", model=preset.name, instead=preset.from_picture
            )
        problems.append(Problem("model", told, preset.from_picture))
        return None
    return value


def _fit(value: object, problems: list[Problem]) -> Fit:
    for fit in get_args(Fit):
        if value in (None, "", fit):
            return "crop" if value != fit else fit
    ways = listed(*get_args(Fit))
    unknown = Text("request.no_fit", value=repr(str(value)[:40]), ways=ways)
    problems.append(Problem("fit", unknown, "crop"))
    return "crop"


def _after(value: object, problems: list[Problem]) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and SHA256.fullmatch(value):
        return value
    problems.append(Problem("after", Text("request.no_clip", value=repr(str(value)[:60]))))
    return None


def _adapters(value: object, preset: ModelPreset, problems: list[Problem]) -> tuple[Adapter, ...]:
    if value is None or value == "" or value == () or value == []:
        return ()
    if not preset.adapters:
        problems.append(Problem("adapters", Text("request.takes_no_adapters", model=preset.name)))
        return ()
    listed_ones = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    found: dict[str, Adapter] = {}
    for one in listed_ones[: MOST_ADAPTERS + 1]:
        sha256 = one.get("sha256") if isinstance(one, Mapping) else None
        strength = one.get("strength", 1.0) if isinstance(one, Mapping) else None
        if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
            problems.append(Problem("adapters", Text("request.no_adapter", value=repr(one)[:60])))
        elif (
            isinstance(strength, bool)
            or not isinstance(strength, int | float)
            or not -STRONGEST <= strength <= STRONGEST
        ):
            wrong = Text("request.no_strength", value=repr(strength)[:40], most=STRONGEST)
            problems.append(Problem("adapters", wrong, 1))
        elif strength:  # at 0 it isn't there
            found[sha256] = Adapter(sha256, float(strength))
    if len(listed_ones) > MOST_ADAPTERS:
        problems.append(Problem("adapters", Text("request.many_adapters", most=MOST_ADAPTERS)))
    return tuple(found.values())


def whole(value: object) -> int | None:
    """A whole number from what forms, JSON and shells send; None where it isn't one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        return int(value) if len(value) < 20 else None
    return None


def _dimension(name: Dimension, value: object, preset: ModelPreset, problems: list[Problem]) -> int:
    default, field = getattr(preset.default, name), Text(f"request.field_{name}")
    if value is None:
        return int(default)
    limits = getattr(preset.limits, name)
    step, offset = (4, 1) if name == "frames" else (GRID, 0)
    number = whole(value)
    if number is None:
        not_whole = Text(
            "request.not_whole",
            field=field,
            value=repr(str(value)[:40]),
            model=preset.name,
            start=default,
        )
        problems.append(Problem(name, not_whole, default))
        return 0
    bounded = min(max(number, limits.min), limits.max)
    nearest = min(max(round((bounded - offset) / step) * step + offset, limits.min), limits.max)
    if number != bounded:
        outside = Text(
            "request.too_small" if number < limits.min else "request.too_large",
            field=field,
            value=number,
            model=preset.name,
            nearest=nearest,
        )
        problems.append(Problem(name, outside, nearest))
    elif number != nearest:
        multiple = Text("request.of_the_grid", step=GRID)
        rule = Text("request.of_the_form") if name == "frames" else multiple
        between = Text("request.not_so", field=field, value=number, rule=rule, nearest=nearest)
        problems.append(Problem(name, between, nearest))
    return number


def _seed(value: object, problems: list[Problem]) -> int:
    if value is None:
        return RANDOM_SEED
    number = whole(value)
    if number is not None and RANDOM_SEED <= number < SEED_LIMIT:
        return number
    nearest = _nearest_seed(value)
    known = {"value": repr(str(value)[:40]), "most": SEED_LIMIT - 1, "draw": RANDOM_SEED}
    if nearest is None:
        no_seed = Text("request.no_seed", **known)
    else:
        no_seed = Text("request.no_seed_but", **known, nearest=nearest)
    problems.append(Problem("seed", no_seed, nearest))
    return RANDOM_SEED


def _nearest_seed(value: object) -> int | None:
    """The seed next to a number that is none: never -1, which asks for something else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if number != number:  # not a number, as IEEE 754 has it
        return None
    return round(min(max(number, 0), SEED_LIMIT - 1))
