"""How a request is run on this machine. Every choice keeps its reason, and the page shows it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.machine.facts import Machine
from engine.plan import cpu, lightx2v, smoothing
from engine.plan.choice import (
    Choice,
    Option,
    Options,
    OverrideError,
    Plan,
    PlanError,
    Value,
    values,
)
from engine.plan.kernel_rows import NONE, KernelTimes
from engine.presets import ModelPreset, Role
from engine.text import Text, listed

__all__ = [
    "Choice",
    "Option",
    "Options",
    "OverrideError",
    "Plan",
    "PlanError",
    "Value",
    "checked",
    "make_plan",
    "options",
    "plan_to_json",
    "values",
]


def make_plan(
    machine: Machine,
    preset: ModelPreset,
    overrides: Mapping[str, Value] | None = None,
    learned: Mapping[str, Choice] | None = None,
    resident_measured: bool = False,
    times: KernelTimes = NONE,
    extras: frozenset[Role] = frozenset(),
) -> Plan:
    """The plan for ``preset`` on ``machine``; keys are stable, values go into the fingerprint.

    Args:
        overrides: what the user chose; it comes before all else.
        learned: what loading or an out-of-memory taught the engine on this very machine; it comes
            before the automatic choice, and before what we think can't work.
        resident_measured: this machine was measured to hold the whole model on its GPU.
        times: what the kernel test found here.
        extras: the model's optional parts that are here.

    Raises:
        OverrideError: an override can't work on this machine.
        PlanError: nothing can.
    """
    if preset.changes_clips:
        return smoothing.make(machine, preset)
    if not _has_options(preset):
        return cpu.make(machine, preset)
    plan = dict(lightx2v.make(machine, preset, resident_measured, times, extras))
    known = options(machine, preset, times, extras)
    for name, choice in (learned or {}).items():
        offered = known.get(name)
        if offered is None:  # what only the worker finds out
            still = name not in lightx2v.FIXED
        else:
            still = any(option.value == choice.value for option in offered)
        if still:
            plan[name] = replace(choice, by="engine")
    for name, value in (overrides or {}).items():
        option = checked(known, preset, name, value)
        automatic = plan[name]
        reason = Text("plan.you_chose", value=automatic.text, why=automatic.reason)
        plan[name] = Choice(option.value, reason, "user")
    return plan


def options(
    machine: Machine,
    preset: ModelPreset,
    times: KernelTimes = NONE,
    extras: frozenset[Role] = frozenset(),
) -> Options:
    """What the user can choose, each with what works here and why; empty for the CPU default."""
    if not _has_options(preset):
        return {}
    known = lightx2v.options(machine, preset, times, extras)
    return {name: offered for name, offered in known.items() if len(offered) > 1}


def checked(known: Options, preset: ModelPreset, name: str, value: Value) -> Option:
    """The option of ``name`` that ``value`` means; numbers may come as text.

    Raises:
        OverrideError: there is no such choice or value, or it can't work here.
    """
    if not known:
        raise OverrideError(
            Text("plan.nothing_to_choose", model=preset.name), Text("plan.runs_as_it_is")
        )
    if name not in known:
        raise OverrideError(
            Text("plan.no_such_choice", model=preset.name, name=name[:40]),
            Text("plan.it_has", names=listed(*known)),
        )
    for option in known[name]:
        if str(option.value) == str(value):
            if option.works:
                return option
            works = listed(*(str(o.value) for o in known[name] if o.works))
            raise OverrideError(
                Text("plan.cant_be_here", name=name, value=option.text, why=option.reason),
                Text("plan.choose_one", values=works),
            )
    raise OverrideError(
        Text("plan.no_such_value", name=name, value=str(value)[:40]),
        Text("plan.there_are", names=listed(*(str(option.value) for option in known[name]))),
    )


def plan_to_json(plan: Plan) -> dict[str, dict[str, Any]]:
    """With the reasons in English, as receipts and logs keep them."""
    return {
        name: {"value": choice.value, "reason": str(choice.reason), "by": choice.by}
        for name, choice in plan.items()
    }


def _has_options(preset: ModelPreset) -> bool:
    """A model whose weights come in a precision is planned by what computes in that precision."""
    return preset.precision is not None
