"""Looks at this machine before anything is asked of it: each line with its meaning and remedy."""

from pathlib import Path
from typing import Literal

from huggingface_hub import constants

from engine.doctor import host
from engine.doctor.gpu import Line, gpu_lines
from engine.engine import Engine
from engine.guard.duration import from_other_cards, in_minutes
from engine.guard.verdict import Verdict
from engine.home import PROJECT
from engine.install.installed import SETUP, differing, stamp
from engine.machine.facts import machine_now
from engine.machine.memory import MemorySample
from engine.pipelines import is_here, why_not_here
from engine.plan.choice import PlanError
from engine.plan.host_memory import host_need, parts
from engine.presets import ModelPreset
from engine.weights.checkpoint import get_it
from engine.weights.state import weights_text

__all__ = ["Line", "examine", "usable"]

WORST = 6  # packages that are named


def examine(engine: Engine) -> list[Line]:
    """All findings, in the order in which a person would look. Takes a second or two."""
    sample = engine.look()
    machine = machine_now(sample)
    needs, streamed = _needs(engine)
    return [
        *gpu_lines(sample, machine, engine.home.cache / "kernels.json"),
        host.ram(sample, needs),
        *host.page_file(sample, machine, needs),
        *host.disk(engine.home.root, streamed > 0, streamed),
        _packages(),
        host.video(),
        host.port(),
        host.sharing(machine, Path(constants.HF_HOME)),
        *[_model(engine, preset) for preset in engine.presets.models.values()],
        *_seconds(engine, sample),
    ]


def _needs(engine: Engine) -> tuple[list[tuple[str, int]], int]:
    """RAM of each large model under its plan here, and bytes a step where one streams them."""
    needs, streamed = [], 0
    for preset in engine.presets.models.values():
        if preset.runs_on != "nvidia" or preset.architecture is None:
            continue
        try:
            way = str(engine.plan_for(preset.id)["offload"].value)
        except (PlanError, KeyError):
            continue
        needs.append((preset.name, host_need(preset, way)))
        if way == "lazy":
            streamed = max(streamed, parts(preset)[0].raw)
    return needs, streamed


def _seconds(engine: Engine, sample: MemorySample) -> list[Line]:
    """Measured here where a clip was made, else estimated where that is honest."""
    lines = []
    for preset in engine.presets.models.values():
        if sample.gpu is None and preset.runs_on == "nvidia":
            continue
        subject = f"Seconds a clip, {preset.name}"
        baseline = engine.guard.rules(preset.id).baseline
        measured = engine.guard.last_seconds(preset.id, baseline)
        if measured:
            took = sum(seconds for stage, seconds in measured.items() if stage != "load")
            text = f"{baseline} took {took:.1f} s, the last time it was made here."
            lines.append(Line(subject, "good", text))
        elif sample.gpu is not None and preset.runs_on == "nvidia":
            found = from_other_cards(preset, sample.gpu, engine.presets.references)
            if found is not None:
                about = in_minutes(found.seconds)
                text = f"About {about} for {baseline}: an estimate from {found.basis}."
                lines.append(Line(subject, "good", text))
    return lines


def _packages() -> Line:
    """What is installed against what was tested."""
    wrong = differing()
    if wrong:
        told = "; ".join(wrong[:WORST]) + (f" and {len(wrong) - WORST} more" * (len(wrong) > WORST))
        # Another version may do; what is missing can't.
        missing = any(" missing " in package for package in wrong)
        return Line("Packages", "bad" if missing else "warn", f"{told}.", f"Run {SETUP}.")
    made = stamp()
    which = f"The lock {made.target}: " if made is not None else ""
    return Line("Packages", "good", f"{which}all as they were tested.".capitalize())


def usable(engine: Engine, model: str) -> Verdict:
    """The verdict on the model's baseline: whether this machine can use its weights at all."""
    return engine.guard.verdict(model, engine.guard.rules(model).baseline)


def _model(engine: Engine, preset: ModelPreset) -> Line:
    subject = f"Model {preset.name}"
    baseline = engine.guard.rules(preset.id).baseline
    verdict = usable(engine, preset.id)
    if not is_here(preset):
        text = f"{why_not_here(preset)[0]} {baseline} is {verdict.word}. {verdict.reason}"
        return Line(subject, "good", text)
    seen = engine.downloads.look(preset.id)
    if seen.state != "ready":
        text = f"Its weights are {weights_text(seen)}. {baseline} is {verdict.word}."
        return Line(subject, "warn", f"{text} {seen.told}".strip(), get_it(preset))
    checkpoint = PROJECT / preset.checkpoint if preset.checkpoint else None
    if checkpoint is not None and not (checkpoint / "model_index.json").exists():
        remedy = "It comes with the project: restore the folder, for example with git checkout."
        return Line(subject, "bad", f"Its checkpoint is missing in {checkpoint}.", remedy)
    state: Literal["good", "warn"] = "good" if verdict.open else "warn"
    return Line(subject, state, f"{baseline} is {verdict.word}. {verdict.reason}", verdict.remedy)
