"""One choice of a plan: its value and why, what else there was, and what can't be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import ExitCode, HeadroomError
from engine.text import NOTHING, Said, Text, as_text, joined

Value = str | int | float
By = Literal["automatic", "user", "engine"]
# Values that are words; kernels, devices and numbers are called the same in every language.
WORDS = (
    *("none", "whole", "tiled", "tiny", "on", "off"),
    *("block", "block-exact", "one-expert", "lazy", "resident"),
)


@dataclass(frozen=True, init=False)
class Choice:
    """One choice, why it was made, and by whom: the worker replaces what the user chose only where
    it must.

    ``label`` is the value as people read it, where that is more than one of ``WORDS``: the value
    itself goes into fingerprints, so it never changes with the words.
    """

    value: Value
    reason: Text
    by: By
    label: Text

    def __init__(
        self, value: Value, reason: Said, by: By = "automatic", label: Text = NOTHING
    ) -> None:
        _set(self, value=value, reason=as_text(reason), by=by, label=label)

    @property
    def text(self) -> Text:
        """The value as people read it."""
        return self.label or in_words(self.value)


Plan = Mapping[str, Choice]


@dataclass(frozen=True, init=False)
class Option:
    """A value that a choice could have; ``reason`` says what it brings, or why it can't work."""

    value: Value
    works: bool
    reason: Text

    def __init__(self, value: Value, works: bool, reason: Said) -> None:
        _set(self, value=value, works=works, reason=as_text(reason))

    @property
    def text(self) -> Text:
        """The value as people read it."""
        return in_words(self.value)


Options = Mapping[str, tuple[Option, ...]]


class PlanError(HeadroomError):
    """This machine can't run the model in any way that we know."""

    exit_code = ExitCode.REFUSED


class OverrideError(PlanError):
    """The user chose what can't work here, or what doesn't exist."""

    exit_code = ExitCode.BAD_INPUT


def values(plan: Plan) -> dict[str, Value]:
    """What a plan does, without the words: two plans run alike exactly when these agree."""
    return {name: choice.value for name, choice in plan.items()}


def in_words(value: Value) -> Text:
    """``value`` as people read it."""
    if value in WORDS:
        return Text(f"plan.value_{str(value).replace('-', '_')}")
    return as_text(str(value))


def first_that_works(options: tuple[Option, ...]) -> Choice | None:
    """The best of ``options``, best first; its reason also tells why nothing better was taken."""
    for place, option in enumerate(options):
        if option.works:
            missed = NOTHING
            if place:
                better = options[place - 1]
                missed = Text("plan.not_taken", value=better.text, why=better.reason)
            return Choice(option.value, joined(option.reason, missed))
    return None


def _set(frozen: object, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(frozen, name, value)
