"""What somebody asks for, checked once, here: page, command line and queue all pass through it."""

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.errors import ExitCode, HeadroomError
from engine.letters import is_blank
from engine.presets import ModelPreset, Presets
from engine.process.console import one_line
from engine.text import Text, joined, listed, programs

PROMPT_LIMIT = 2000
SEED_LIMIT = 2**32  # numpy's generators, which LightX2V seeds too, take no more than 32 bits
RANDOM_SEED = -1
GRID = 16  # pixels: the VAE halves three times, the transformer's patch once more
FIELDS = ("prompt", "height", "width", "frames", "seed", "model")
Dimension = Literal["height", "width", "frames"]
DIMENSIONS: tuple[Dimension, ...] = ("height", "width", "frames")
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
class ClipRequest:
    """A valid request. ``seed`` -1 means "draw one"; the job and the receipt keep the drawn one."""

    prompt: str
    height: int
    width: int
    frames: int
    seed: int
    model: str

    @property
    def size(self) -> Size:
        return Size(self.height, self.width, self.frames)

    def drawn_seed(self) -> int:
        """The seed that was asked for, or a drawn one."""
        return secrets.randbelow(SEED_LIMIT) if self.seed == RANDOM_SEED else self.seed

    def to_json(self) -> dict[str, Any]:
        """The one JSON form: queue row, receipt and command line share it."""
        return asdict(self)

    @classmethod
    def check(cls, raw: Mapping[str, object], presets: Presets) -> "ClipRequest":
        """Make a request from untrusted values; sizes left out come from the model's default.

        Args:
            raw: any of ``prompt, height, width, frames, seed, model``; whole numbers may come as
                floats or digits, because forms and JSON send them so.

        Raises:
            RequestError: names every field that is refused and the nearest valid value.
        """
        problems = [
            Problem(name, Text("request.no_such_field", field=name, fields=listed(*FIELDS)))
            for name in map(one_line, raw)
            if name not in FIELDS
        ]
        prompt = _prompt(raw.get("prompt"), problems)
        model = _model(raw.get("model"), presets, problems)
        preset = presets.models.get(model, presets.default)
        size = {name: _dimension(name, raw.get(name), preset, problems) for name in DIMENSIONS}
        seed = _seed(raw.get("seed"), problems)
        if problems:
            raise RequestError(tuple(problems))
        return cls(prompt=prompt, seed=seed, model=model, **size)


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
    if isinstance(value, str) and value in presets.models:
        return value
    unknown = Text(
        "request.no_such_model", value=repr(str(value)[:60]), models=listed(*presets.models)
    )
    problems.append(Problem("model", unknown, presets.default.id))
    return ""


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
