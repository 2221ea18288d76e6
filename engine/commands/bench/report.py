"""What a model's clips cost, as rows beside their references and as the facts of a card."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import Any

from engine.commands.bench.model import Cost
from engine.commands.bench.row import IDLE, IDLE_REACH, BenchRow
from engine.plan.flops import architecture_of, step_work
from engine.units import GIB

STEP_REACH = 1.12  # of the rates of the kernels in force; the CPU default is too small for any
STAGES = ("encode", "denoise", "decode", "save")


def rows(cost: Cost) -> Iterator[BenchRow]:
    """Cold, warm, by stage, by block, beside the floor and LightX2V's own way."""
    size, spread = cost.size, [made.seconds for made in cost.warm]
    what = f"{cost.preset.name}, {size.width} × {size.height}, {size.frames} frames"
    times = f"the median of {len(spread)}: {min(spread):g} to {max(spread):g}"
    yield BenchRow("loading the model", cost.load, "s", told=what)
    command = cost.found.get("command", {})
    # It comes after ours, so its files are in the system's cache, and its kernels are compiled.
    own = "LightX2V's own command, which runs second and writes no file"
    told = "our first start here, which also tried the kernels" if cost.untried else ""
    if "failed" in command:
        told = f"{own}: {command['failed']}"
    yield BenchRow(
        "process start to a clip", cost.start, "s", command.get("seconds"), own, told=told
    )
    yield BenchRow("a clip, cold", cost.cold.seconds, "s", told="the first after loading")
    yield BenchRow("a clip, warm", cost.seconds, "s", told=times if len(spread) > 1 else "one")
    theirs = cost.found.get("theirs", {})
    if cost.fresh is not None:
        own = "LightX2V's own pipeline, the same loaded weights, no file written"
        failed = f"{own}: {theirs['failed']}" if "failed" in theirs else ""
        seconds = theirs.get("seconds")
        yield BenchRow("a clip, a new prompt", cost.fresh.seconds, "s", seconds, own, told=failed)
    told = "what a warm clip's worker does besides; the queue's part is under clip"
    yield BenchRow(IDLE, cost.idle, "s", reach=IDLE_REACH, told=told)
    for name in STAGES:
        yield BenchRow(f"  {name}, warm", round(cost.stage(name), 4), "s")
    layers = _layers(cost)
    least = floor(cost)
    if least is not None:
        yield BenchRow(
            "a denoise step",
            round(cost.step, 4),
            "s",
            least["seconds"],
            "its floor",
            STEP_REACH if cost.preset.runs_on == "nvidia" else None,
            told=least["basis"],
        )
    if layers:
        block = round(1000 * cost.step / layers, 2)
        yield BenchRow("a transformer block", block, "ms", told=f"a step, by {layers} blocks")
    step = cost.found.get("step", {})
    for name, key in (("GPU busy in a step", "busy_share"), ("copies hidden", "copy_hidden_share")):
        if step.get(key) is not None:
            told = "by torch's profiler, one step; copies beside computing"
            yield BenchRow(name, round(100 * step[key], 1), "%", told=told)
    there = round(theirs["peak"] / GIB, 2) if "peak" in theirs else None
    yield BenchRow(
        "memory peak",
        round(cost.peak / GIB, 2),
        "GiB",
        there,
        "LightX2V's own pipeline",
        told=f"of {_gib(cost.memory)} GiB",
    )


def floor(cost: Cost) -> dict[str, Any] | None:
    """The least time of a denoise step: its operations over the rates measured here."""
    shape, rates = architecture_of(cost.preset), cost.found.get("rates")
    if shape is None or not rates:
        return None
    work = step_work(shape, cost.size)
    # The plan's own attention may be quicker than torch's.
    attention = rates["attention"] * max(1.0, cost.found.get("attention_times", 1.0))
    seconds = work["matrix"] / rates["matrix"] + work["attention"] / attention
    parts = (
        f"{_flop(work['matrix'])} in matrices at {_flop(rates['matrix'])}/s "
        f"({rates['matrix_by']}), {_flop(work['attention'])} in attention at {_flop(attention)}/s, "
        "measured here"
    )
    return {
        "seconds": round(seconds, 5),
        "share": round(seconds / cost.step, 3),
        "flop": work,
        "flop_per_second": {"matrix": rates["matrix"], "attention": attention},
        "basis": parts,
    }


def card(cost: Cost) -> dict[str, Any]:
    """All that a card tells. Nothing of the user's: no prompt, name or place."""
    step, layers = cost.found.get("step", {}), _layers(cost)
    receipt = cost.cold.receipt
    return {
        "device": cost.device,
        "memory_bytes": cost.memory,
        "driver": cost.driver,
        "model": cost.preset.id,
        "model_name": cost.preset.name,
        **asdict(cost.size),
        "fps": cost.preset.fps,
        "steps": cost.preset.steps,
        "seconds": {
            "load": cost.load,
            "start_to_clip": cost.start,
            "lightx2v_command": cost.found.get("command", {}).get("seconds"),
            "cold": cost.cold.seconds,
            "warm": cost.seconds,
            "warm_clips": len(cost.warm),
            "new_prompt": cost.fresh.seconds if cost.fresh else None,
            "lightx2v_new_prompt": cost.found.get("theirs", {}).get("seconds"),
            "step": round(cost.step, 4),
            "block": round(cost.step / layers, 5) if layers else None,
            "stages": {name: round(cost.stage(name), 4) for name in STAGES},
        },
        "peak_bytes": cost.peak,
        "lightx2v_peak_bytes": cost.found.get("theirs", {}).get("peak"),
        "floor": floor(cost),
        "gpu_busy_share": step.get("busy_share"),
        "copies_hidden_share": step.get("copy_hidden_share"),
        "plan": {name: choice["value"] for name, choice in receipt["plan"].items()},
        "versions": receipt["versions"],
        "date": date.today().isoformat(),
        "basis": "One worker, loaded once: the first clip is the cold one, the warm ones follow "
        "with the same prompt. Seconds are from the order to the written MP4.",
    }


def _layers(cost: Cost) -> int:
    shape = architecture_of(cost.preset)
    return shape.layers if shape else 0


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"


def _flop(number: float) -> str:
    return f"{number / 1e12:.3g} TFLOP" if number >= 1e11 else f"{number / 1e9:.3g} GFLOP"
