"""``app.py kernels``: times this machine's kernels at a model's shapes, and says what follows."""

from collections.abc import Callable
from typing import Any

from engine.commands.plan import named
from engine.kernels.tasks import own_model
from engine.kernels.told import alike, seconds, taken
from engine.plan.kernel_rows import KernelRow, KernelTimes
from engine.presets import ModelPreset, Presets
from engine.text import Text
from engine.worker.lane import Lane


def tested_model(presets: Presets, lane: Lane, wanted: str | None) -> ModelPreset:
    """The one that was asked for, or the machine's own.

    Raises:
        PlanInputError: there is no such model.
    """
    if wanted is None:
        return own_model(lane.machine(), presets)
    return named(presets, wanted)


def run(lane: Lane, preset: ModelPreset, say: Callable[[object], None]) -> KernelTimes:
    """Test now, whatever was tested before."""
    say(Text("kernels.testing", gpu=_device(lane, preset)))
    return lane.kernel_test.run(preset, lambda row: say(_line(row)), say)


def as_json(
    presets: Presets, lane: Lane, preset: ModelPreset, times: KernelTimes
) -> dict[str, Any]:
    """``rows``, and the least ``seconds`` of each model's default clip that could be told."""
    models = alike(presets, lane.machine(), preset)
    chosen = taken(times, lane.plans, models)
    return {
        "device": _device(lane, preset),
        "rows": [
            {
                "what": row.what,
                "kernel": row.kernel,
                "shape": row.shape,
                "milliseconds": row.milliseconds,
                "cosine": row.cosine,
                "chosen": row in chosen,
                **({"problem": str(row.why)} if row.problem else {}),
            }
            for row in times.rows
        ],
        "seconds": seconds(times, lane.plans, models),
    }


def lines(presets: Presets, lane: Lane, preset: ModelPreset, times: KernelTimes) -> list[str]:
    """For a person: what the plans take, and how long a clip takes at least."""
    models = alike(presets, lane.machine(), preset)
    chosen = taken(times, lane.plans, models)
    found = [f"{'✓' if row in chosen else ' '} {_line(row)}" for row in times.rows]
    for model, least in seconds(times, lane.plans, models).items():
        name = presets.models[model].name
        found.append(str(Text("kernels.least", model=name, seconds=least)))
    return found


def _device(lane: Lane, preset: ModelPreset) -> str:
    machine = lane.machine()
    gpu = machine.gpu if preset.runs_on == "nvidia" else None
    return gpu.name if gpu else machine.device


def _line(row: KernelRow) -> str:
    named = f"{row.what:<9} {row.kernel:<14} {row.shape:<20}"
    if row.milliseconds is None:
        return f"{named} ✕ {row.why}"
    cosine = "" if row.cosine is None else f"  cosine {row.cosine:.5f}"
    return f"{named} {row.milliseconds:9.2f} ms{cosine}"
