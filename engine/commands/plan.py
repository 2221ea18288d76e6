"""``app.py plan``: how this machine runs a model and why, and the user's own choices."""

from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.plan.choice import Options, Plan
from engine.plan.plans import Plans
from engine.presets import ModelPreset, Presets
from engine.process.console import tell
from engine.text import Text, listed, programs


class PlanInputError(HeadroomError):
    """The command line names no model, or no choice."""

    exit_code = ExitCode.BAD_INPUT


def named(presets: Presets, model: str) -> ModelPreset:
    """The model of that id.

    Raises:
        PlanInputError: there is none.
    """
    if model not in presets.models:
        raise PlanInputError(
            Text("plan.no_such_model", model=model[:40]),
            Text("plan.there_are", names=listed(*presets.models)),
        )
    return presets.models[model]


def change(plans: Plans, presets: Presets, model: str, wanted: list[str], reset: bool) -> None:
    """Take the user's choices back, then set the ``wanted`` ones ("decode=tiled").

    Raises:
        PlanInputError: there is no such model, or a choice isn't NAME=VALUE.
        OverrideError: a choice doesn't exist or can't work here; the ones before it are set.
    """
    named(presets, model)
    pairs = [text.partition("=") for text in wanted]
    for text, (name, sign, value) in zip(wanted, pairs, strict=True):
        if not (name and sign and value):
            raise PlanInputError(
                Text("plan.not_name_value", text=text[:40]), Text("plan.for_example")
            )
    if reset:
        plans.reset(model)
    for name, _, value in pairs:
        plans.override(model, name.strip(), value.strip())


def as_json(plans: Plans, model: str) -> dict[str, Any]:
    """The plan, what else could be chosen, and what the user chose."""
    return {
        "model": model,
        "plan": {
            name: {"value": choice.value, **programs("reason", choice.reason), "by": choice.by}
            for name, choice in plans.plan(model).items()
        },
        "options": {
            name: [
                {"value": o.value, "works": o.works, **programs("reason", o.reason)}
                for o in offered
            ]
            for name, offered in plans.options(model).items()
        },
        "chosen": plans.overrides(model),
    }


def show(plan: Plan, options: Options) -> None:
    """Plan and options on stdout, for a person."""
    for name, choice in plan.items():
        tell(f"{name:<18} {choice.value}", f"{'':<18} {choice.reason}")
    if options:
        tell("", "Override with --set NAME=VALUE:")
    for name, offered in options.items():
        for option in offered:
            mark = " " if option.works else "✕"
            tell(f"{mark} {name}={option.value}: {option.reason}")
