"""What somebody asks for, checked once, here: page, command line and queue all pass through it."""

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.errors import ExitCode, HeadroomError
from engine.presets import ModelPreset, Presets

PROMPT_LIMIT = 2000
SEED_LIMIT = 2**32  # numpy's generators, which LightX2V seeds too, take no more than 32 bits
RANDOM_SEED = -1
GRID = 16  # pixels: the VAE halves three times, the transformer's patch once more
FIELDS = ("prompt", "height", "width", "frames", "seed", "model")


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


@dataclass(frozen=True)
class Problem:
    """One refused field: a sentence that names it, and the nearest value that is valid."""

    field: str
    sentence: str
    nearest: int | str | None = None


class RequestError(HeadroomError):
    """A request that no model of ours can take; ``problems`` has one entry a refused field."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(" ".join(p.sentence for p in problems), "")
        self.problems = problems


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
            Problem(name, f"{name}: there is no such field; a request has {', '.join(FIELDS)}.")
            for name in raw
            if name not in FIELDS
        ]
        prompt = _prompt(raw.get("prompt"), problems)
        model = _model(raw.get("model"), presets, problems)
        preset = presets.models.get(model, presets.default)
        size = {
            name: _dimension(name, raw.get(name), preset, problems)
            for name in ("height", "width", "frames")
        }
        seed = _seed(raw.get("seed"), problems)
        if problems:
            raise RequestError(tuple(problems))
        return cls(prompt=prompt, seed=seed, model=model, **size)


def _prompt(value: object, problems: list[Problem]) -> str:
    if not isinstance(value, str) or not value.strip():
        problems.append(
            Problem("prompt", "prompt: it is empty; say in a few words what the clip shows.")
        )
        return ""
    text = unicodedata.normalize("NFC", value).strip()
    if len(text) > PROMPT_LIMIT:
        problems.append(
            Problem(
                "prompt",
                f"prompt: it has {len(text)} characters; the most is {PROMPT_LIMIT}, "
                f"so shorten it by {len(text) - PROMPT_LIMIT}.",
                text[:PROMPT_LIMIT],
            )
        )
    # Control characters (and lone surrogates, which no file can store) are never typed on purpose.
    odd = sorted({c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"})
    if odd:
        names = ", ".join(f"U+{ord(c):04X}" for c in odd[:3])
        clean = "".join(c for c in text if c not in odd)
        problems.append(
            Problem("prompt", f"prompt: it holds control characters ({names}); remove them.", clean)
        )
    return text


def _model(value: object, presets: Presets, problems: list[Problem]) -> str:
    if value is None or value == "":
        return presets.default.id
    if isinstance(value, str) and value in presets.models:
        return value
    known = ", ".join(presets.models)
    problems.append(
        Problem(
            "model",
            f"model: there is no model {str(value)[:60]!r}; this installation has {known}.",
            presets.default.id,
        )
    )
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


def _dimension(name: str, value: object, preset: ModelPreset, problems: list[Problem]) -> int:
    default = getattr(preset.default, name)
    if value is None:
        return int(default)
    limits = getattr(preset.limits, name)
    step, offset = (4, 1) if name == "frames" else (GRID, 0)
    number = whole(value)
    if number is None:
        problems.append(
            Problem(
                name,
                f"{name}: {str(value)[:40]!r} isn't a whole number; {preset.name} starts from "
                f"{default}.",
                default,
            )
        )
        return 0
    bounded = min(max(number, limits.min), limits.max)
    nearest = min(max(round((bounded - offset) / step) * step + offset, limits.min), limits.max)
    if number != bounded:
        side = "least" if number < limits.min else "most"
        problems.append(
            Problem(
                name,
                f"{name}: {number} is outside what {preset.name} takes; the {side} is {nearest}.",
                nearest,
            )
        )
    elif number != nearest:
        rule = "of the form 4k+1 (5, 9, 13, …)" if name == "frames" else f"a multiple of {GRID}"
        problems.append(
            Problem(name, f"{name}: {number} isn't {rule}; the nearest is {nearest}.", nearest)
        )
    return number


def _seed(value: object, problems: list[Problem]) -> int:
    if value is None:
        return RANDOM_SEED
    number = whole(value)
    if number is None or not RANDOM_SEED <= number < SEED_LIMIT:
        nearest = RANDOM_SEED if number is None or number < 0 else SEED_LIMIT - 1
        problems.append(
            Problem(
                "seed",
                f"seed: {str(value)[:40]!r} isn't a whole number from 0 to {SEED_LIMIT - 1}, "
                f"or {RANDOM_SEED} to draw one; the nearest is {nearest}.",
                nearest,
            )
        )
        return RANDOM_SEED
    return number
