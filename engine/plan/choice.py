"""One choice of a plan: its value and why, what else there was, and what can't be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.errors import ExitCode, HeadroomError

Value = str | int | float


@dataclass(frozen=True)
class Choice:
    """One choice, why it was made, and by whom: the worker replaces what the user chose only where
    it must."""

    value: Value
    reason: str
    by: Literal["automatic", "user", "engine"] = "automatic"


Plan = Mapping[str, Choice]


@dataclass(frozen=True)
class Option:
    """A value that a choice could have; ``reason`` says what it brings, or why it can't work."""

    value: Value
    works: bool
    reason: str


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


def first_that_works(options: tuple[Option, ...]) -> Choice | None:
    """The best of ``options``, best first; its reason also tells why nothing better was taken."""
    for place, option in enumerate(options):
        if option.works:
            missed = (
                f" Not {options[place - 1].value}: {options[place - 1].reason}" if place else ""
            )
            return Choice(option.value, option.reason + missed)
    return None
