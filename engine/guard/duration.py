"""How long a clip of any size will take here: from this machine's own runs, by the work in it.

Denoising takes as long as its operations, of which the attention's grow with the square of the
tokens; decoding and saving take as long as there are pixels. On an H100 one size told the seconds a
step of the others within 8 % (docs/measured.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import log
from typing import Literal

from engine.machine.nvml import GpuSample
from engine.plan.flops import architecture_of, step_work
from engine.presets import Architecture, ModelPreset, Reference
from engine.request import Size
from engine.stages import CHANGES
from engine.text import Said, Text

FARTHEST = 30.0  # times as much work as a run's own: beyond that its seconds say nothing


@dataclass(frozen=True)
class TimedRun:
    """Seconds by stage of one run at ``size``. A probe took one step of the clip's ``steps``."""

    size: Size
    seconds: Mapping[str, float]
    probe: bool = False


@dataclass(frozen=True)
class Duration:
    """``seconds`` of a whole clip with the model loaded. ``basis``: this size ran here, as a clip
    or a probe; another size did; or only another machine's is known."""

    seconds: float
    basis: Literal["measured", "scaled", "elsewhere"]


@dataclass(frozen=True)
class Elsewhere:
    """What another card took: ``seconds`` of a clip of the model's baseline size; ``basis``
    names the run behind it."""

    seconds: float
    basis: Said


def duration(
    size: Size, preset: ModelPreset, runs: Iterable[TimedRun], elsewhere: Elsewhere | None = None
) -> Duration | None:
    """What a clip of ``size`` will take; None where nothing near it ever ran.

    Args:
        runs: this machine's, oldest first: the newest of each size counts, a clip before a probe.
        elsewhere: what is known from other cards, at the model's baseline.
    """
    newest: dict[Size, TimedRun] = {}
    for run in runs:
        before = newest.get(run.size)
        whole = any(stage in run.seconds for stage in ("denoise", *CHANGES))
        if whole and (before is None or before.probe or not run.probe):
            newest[run.size] = run
    known = {
        where: replace(run, seconds=_whole(run, preset.steps), probe=False)
        for where, run in newest.items()
    }
    if size in known:
        return Duration(sum(known[size].seconds.values()), "measured")
    shape = architecture_of(preset)
    work = _work(size, shape)

    def times(run: TimedRun) -> float:
        return work / _work(run.size, shape)

    if known:
        nearest = min(known.values(), key=lambda run: abs(log(times(run))))
        if 1 / FARTHEST <= times(nearest) <= FARTHEST:
            return Duration(_scaled(nearest, size, times(nearest)), "scaled")
    if elsewhere is not None:
        base = preset.memory.baseline
        there = _work(Size(base.height, base.width, base.frames), shape)
        return Duration(elsewhere.seconds * work / there, "elsewhere")
    return None


def _whole(run: TimedRun, steps: int) -> dict[str, float]:
    """A clip's seconds by stage, without loading: that happens once."""
    factor = {"denoise": steps if run.probe else 1}
    return {
        stage: seconds * factor.get(stage, 1)
        for stage, seconds in run.seconds.items()
        if stage != "load"
    }


def _scaled(run: TimedRun, size: Size, times: float) -> float:
    pixels = size.pixels * size.frames / (run.size.pixels * run.size.frames)
    factor = {"picture": pixels, "denoise": times} | dict.fromkeys(
        ("decode", *CHANGES, "save"), pixels
    )
    return sum(seconds * factor.get(stage, 1.0) for stage, seconds in run.seconds.items())


def _work(size: Size, shape: Architecture | None) -> float:
    """Operations of one denoise step; tokens alone where no shape is known."""
    return float(size.tokens) if shape is None else sum(step_work(shape, size).values())


# ---- from other cards ----------------------------------------------------------------------


def from_other_cards(
    preset: ModelPreset, gpu: GpuSample, runs: tuple[Reference, ...]
) -> Elsewhere | None:
    """From a run of the same size on a card of the same compute capability, by the number of cores.

    None where there is no such run: between generations cores don't compare, and a figure that
    rests on nothing is worse than none. The clock is left out: within a generation it differs by a
    few percent.
    """
    shape = preset.memory.baseline
    for run in runs:
        clip = run.clip
        if clip is None or run.model != preset.id or gpu.capability != clip.capability:
            continue
        if (clip.height, clip.width, clip.frames) != (shape.height, shape.width, shape.frames):
            continue
        if not gpu.cores:
            continue
        basis = Text(
            "duration.by_cores",
            seconds=clip.seconds,
            device=run.device,
            source=run.source,
            cores=clip.cores,
            here=gpu.cores,
        )
        return Elsewhere(clip.seconds * clip.cores / gpu.cores, basis)
    return None


def in_minutes(seconds: float) -> Text:
    """To the precision that an estimate has."""
    if seconds < 90:
        return Text("duration.seconds", n=max(5, round(seconds / 5) * 5))
    minutes = round(seconds / 60) if seconds >= 600 else round(seconds / 30) / 2
    return Text("duration.minutes", n=minutes)
