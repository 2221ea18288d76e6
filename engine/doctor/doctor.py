"""Looks at this machine before anything is asked of it: each line with its meaning and remedy."""

import os
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants

from engine.default_model import Candidate, with_files
from engine.doctor import host
from engine.doctor.gpu import RUN, Line, State, gpu_lines
from engine.engine import Engine
from engine.guard.duration import from_other_cards, in_minutes
from engine.guard.verdict import Verdict
from engine.home import PROJECT
from engine.install.installed import Difference, differences, stamp
from engine.machine.facts import machine_now
from engine.machine.memory import MemorySample
from engine.pipelines import is_here, why_not_here
from engine.plan.choice import PlanError
from engine.plan.host_memory import host_need, parts
from engine.presets import ModelPreset
from engine.text import Text, as_text, joined, listed
from engine.weights.checkpoint import get_it
from engine.weights.state import weights_text

__all__ = ["Line", "examine", "usable"]

WORST = 6  # packages that are named


def examine(engine: Engine) -> list[Line]:
    """All findings, in the order in which a person would look. Takes a second or two.

    Of models that can't run here nothing is said: neither their weights nor what they would need.
    Nor of drafts: what holds for the model whose files they have holds for them.
    """
    sample = engine.look()
    machine = machine_now(sample)
    models = [candidate for candidate in with_files(engine) if _is_told(engine, candidate)]
    presets = [candidate.preset for candidate in models]
    needs, streamed = _needs(engine, presets)
    return [
        *gpu_lines(sample, machine, engine.home.cache / "kernels.json"),
        *_lanes(engine),
        host.ram(sample, needs),
        *host.page_file(sample, machine, needs),
        *host.disk(engine.home, streamed > 0, streamed),
        _packages(),
        host.video(),
        host.port(),
        host.sharing(machine, Path(constants.HF_HOME)),
        *[_model(engine, candidate) for candidate in models],
        *_seconds(engine, sample, presets),
    ]


def _is_told(engine: Engine, candidate: Candidate) -> bool:
    """What changes clips nobody lacks before they have asked for it."""
    preset = candidate.preset
    wanted = not preset.changes_clips or engine.downloads.look(preset.id).present
    return bool(wanted) and not candidate.barred


def _lanes(engine: Engine) -> list[Line]:
    """Of several cards which make clips; and those that are here and don't, with the reason."""
    subject, lines = Text("doctor.lanes_subject"), []
    if len(engine.lanes) > 1:
        titles = listed(*(lane.seat.title for lane in engine.lanes))
        lines.append(Line(subject, "good", Text("doctor.several_lanes", lanes=titles)))
    lines += [Line(subject, "warn", told) for told in engine.left_out]
    if engine.away:
        names = listed(*(lane.seat.title for lane in engine.away))
        lines.append(Line(subject, "good", Text("doctor.machines", lanes=names)))
    for lane in engine.lanes[1:]:  # the first one's are told as a single card's are
        for line in gpu_lines(lane.look(), lane.machine(), engine.home.cache / "kernels.json"):
            of = Text("doctor.of_card", subject=line.subject, card=lane.seat.title)
            lines.append(replace(line, subject=of))
    return lines


def _needs(engine: Engine, presets: list[ModelPreset]) -> tuple[list[tuple[str, int]], int]:
    """RAM of each large model under its plan here, and bytes a step where one streams them."""
    needs, streamed = [], 0
    for preset in presets:
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


def _seconds(engine: Engine, sample: MemorySample, presets: list[ModelPreset]) -> list[Line]:
    """Measured here where a clip was made, else estimated where that is honest."""
    lines = []
    for preset in presets:
        subject = Text("doctor.seconds_a_clip", model=preset.name)
        baseline = engine.guard.rules(preset.id).baseline
        measured = engine.guard.last_seconds(preset.id, baseline)
        if measured:
            took = sum(seconds for stage, seconds in measured.items() if stage != "load")
            meaning = Text("doctor.took", size=baseline.text(preset.fps), seconds=took)
            lines.append(Line(subject, "good", meaning))
        elif sample.gpu is not None and preset.runs_on == "nvidia":
            found = from_other_cards(preset, sample.gpu, engine.presets.references)
            if found is not None:
                about = in_minutes(found.seconds)
                meaning = Text(
                    "doctor.estimate", time=about, size=baseline.text(preset.fps), basis=found.basis
                )
                lines.append(Line(subject, "note", meaning))
    return lines


def _packages() -> Line:
    """What is installed against what was tested."""
    subject, wrong = Text("doctor.packages"), differences()
    if wrong:
        told = host.in_a_row([_difference(one) for one in wrong[:WORST]])
        if len(wrong) > WORST:
            told = Text("doctor.and_more", packages=told, count=len(wrong) - WORST)
        # Another version may do; what is missing can't.
        missing = any(one.found is None for one in wrong)
        return Line(subject, "bad" if missing else "warn", Text("doctor.whole", said=told), RUN)
    made = stamp()
    if made is None:
        return Line(subject, "good", Text("doctor.as_tested"))
    return Line(subject, "good", Text("doctor.as_locked", lock=made.target))


def _difference(one: Difference) -> Text:
    if one.found is None:
        return Text("doctor.package_missing", package=one.name, wanted=one.wanted)
    return Text("doctor.other_version", package=one.name, found=one.found, wanted=one.wanted)


def usable(engine: Engine, model: str) -> Verdict:
    """The verdict on the model's baseline: whether this machine can use its weights at all."""
    return engine.guard.verdict(model, engine.guard.rules(model).baseline)


def _model(engine: Engine, candidate: Candidate) -> Line:
    preset = candidate.preset
    subject = Text("doctor.model", model=preset.name)
    baseline = engine.guard.rules(preset.id).baseline
    verdict = usable(engine, preset.id)
    judged = Text("doctor.size_is", size=baseline.text(preset.fps), verdict=verdict.word.text)
    if not is_here(preset):
        meaning, remedy = why_not_here(preset)
        return Line(subject, "warn", joined(meaning, judged, verdict.reason), remedy)
    seen = engine.downloads.look(preset.id)
    if seen.state != "ready":
        weights = Text("doctor.weights_are", state=weights_text(seen))
        # Nobody needs every model; the recommended one is missed.
        missed: State = "warn" if candidate.recommended or seen.state != "missing" else "note"
        return Line(subject, missed, joined(weights, judged, seen.told), as_text(get_it(preset)))
    checkpoint = PROJECT / preset.checkpoint if preset.checkpoint else None
    if checkpoint is not None and not os.path.exists(checkpoint / "model_index.json"):
        meaning = Text("doctor.no_checkpoint", folder=checkpoint)
        return Line(subject, "bad", meaning, Text("doctor.restore_it"))
    state: State = "good" if verdict.open else "warn"
    return Line(subject, state, joined(judged, verdict.reason), as_text(verdict.remedy))
