"""The memory gauge: always visible, and the truth. Drawn by live.js from what this makes."""

from collections.abc import Sequence
from typing import Any

from engine.guard.budget import device_for, held_by
from engine.machine.memory import MemorySample
from engine.machine.recorder import FlightRecorder
from engine.presets import ModelPreset, Presets
from engine.text import NOTHING, Memory, Said, Text, listed
from engine.worker.by_lane import title_of
from engine.worker.lane import Lane
from engine.worker.maker import Maker
from engine.worker.status import EngineState

SPARK_SECONDS = 60.0
SPARK_POINTS = 60

GAUGE = """
<section class="gauge" id="gauge" aria-label="Memory">
  <div class="meter" role="meter" aria-label="Device memory" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow="0" data-live="meter"><span class="ours"></span><span class="others"></span><i
    class="budget" title="Budget: what a clip may take"></i><i class="peak"
    title="Peak of the running clip"></i></div>
  <span class="gauge-use" data-live="gauge-use"></span>
  <details>
    <summary aria-label="Memory in detail"></summary>
    <div class="gauge-more">
      <strong data-live="gauge-name">Memory …</strong>
      <p data-live="gauge-split"></p>
      <ul class="cards" data-live="cards" hidden></ul>
      <p data-live="gauge-health" hidden></p>
      <div class="ram"><span data-live="ram-text"></span><div class="slim" role="meter"
        aria-label="RAM" aria-valuemin="0" aria-valuemax="100" aria-valuenow="0" data-live="ram"
        ><span></span></div></div>
      <svg class="spark" viewBox="0 0 60 20" preserveAspectRatio="none" role="img"
        aria-label="Device memory in the last minute" data-live="spark"><polyline points=""/></svg>
      <p data-live="gauge-problem" hidden></p>
    </div>
  </details>
</section>
"""


def gauge_state(
    recorder: FlightRecorder,
    preset: ModelPreset | None,
    worker: int | None,
    job: int | None,
    told: int | None = None,
) -> dict[str, Any]:
    """What the gauge shows now; fractions are of the device's memory.

    Args:
        preset: the model at work: its device is the one that the bar is about.
        worker: the worker's pid.
        job: the running job, whose peak is marked.
        told: the device memory that the worker says it holds.
    """
    sample = recorder.latest()
    total, used, ours = _device(sample, worker, told)
    peaks = recorder.peaks(job) if job is not None else {}
    peak = max(peaks.values(), default=0)
    device = device_for(preset, sample, worker, told) if preset else None
    on_gauge = device is not None and (device.physical or device.total) == total
    budget = device.budget if device is not None and on_gauge else 0
    others = max(0, used - ours)
    split = Text(
        "gauge.split",
        ours=Memory(ours),
        others=Memory(others),
        free=Memory(max(0, total - used)),
        budget=Text("gauge.budget", budget=Memory(budget)) if budget else NOTHING,
        peak=Text("gauge.peak", peak=Memory(peak)) if peak else NOTHING,
    )
    in_use = {"used": Memory(used), "total": Memory(total)}
    ram = {"used": Memory(sample.host.used), "total": Memory(sample.host.total)}
    return {
        "gauge-name": sample.gpu.name if sample.gpu else Text("gauge.ram"),
        "gauge-use": Text("gauge.used_of", **in_use),
        "gauge-split": split,
        "gauge-health": _health(sample),
        "gauge-problem": _problem(sample),
        "meter": {
            "ours": _share(ours, total),
            "others": _share(others, total),
            "budget": _share(ours + budget, total) if budget else None,
            "peak": _share(peak, total) if peak else None,
            "text": Text("gauge.in_use", **in_use, split=split),
        },
        "ram-text": Text("gauge.ram_used_of", **ram) if sample.gpu else NOTHING,
        "ram": _share(sample.host.used, sample.host.total) if sample.gpu else None,
        "spark": _spark(recorder.window(SPARK_SECONDS), sample.at),
    }


def card_state(lane: Lane, presets: Presets) -> dict[str, Any]:
    """One of several cards in the gauge's details: whose its memory is, and what it does."""
    status = lane.status
    model = presets.called(status.model)
    sample = lane.recorder.latest()
    total, used, ours = _device(sample, status.worker_pid, status.device_bytes)
    return {
        "name": title_of(lane),
        "use": Text("gauge.used_of", used=Memory(used), total=Memory(total)),
        "ours": _share(ours, total),
        "others": _share(max(0, used - ours), total),
        "state": sample.problem if sample.state == "lost" else doing(status.state, model),
    }


def away_state(lane: Maker, presets: Presets) -> dict[str, Any]:
    """As ``card_state``, of another machine's lane: what that last told."""
    status = lane.status
    model = presets.called(status.model)
    used = max(0, lane.total - lane.free)
    return {
        "name": title_of(lane),
        "use": Text("gauge.used_of", used=Memory(used), total=Memory(lane.total)),
        "ours": 0.0,
        "others": _share(used, lane.total),
        "state": doing(status.state, model),
    }


def doing(state: EngineState, model: str) -> Text:
    """What a card does, in a few words."""
    match state:
        case EngineState.LOADING:
            return Text("gauge.card_loading", model=model)
        case EngineState.READY:
            return Text("gauge.card_ready", model=model)
        case EngineState.BUSY:
            return Text("gauge.card_busy", model=model)
        case EngineState.FAILED:
            return Text("gauge.card_failed", model=model)
        case EngineState.ELSEWHERE:
            return Text("gauge.card_elsewhere")
        case EngineState.OFF:
            return Text("gauge.card_off")


def _device(
    sample: MemorySample, worker: int | None, told: int | None = None
) -> tuple[int, int, int]:
    """Total, used, and ours, of the GPU where there is one and of the RAM otherwise."""
    gpu = sample.gpu
    if gpu is None:
        return sample.host.total, sample.host.used, sample.host.worker or 0
    return gpu.total, gpu.used, held_by(gpu, worker, told)


def _health(sample: MemorySample) -> Text:
    gpu = sample.gpu
    if gpu is None:
        return NOTHING
    parts: list[Said] = []
    if gpu.utilisation is not None:
        parts.append(Text("gauge.utilisation", percent=gpu.utilisation))
    if gpu.temperature is not None:
        parts.append(f"{gpu.temperature} °C")
    if gpu.power is not None and gpu.power_limit is not None:
        parts.append(Text("gauge.power_of", power=gpu.power, limit=gpu.power_limit))
    elif gpu.power is not None:
        parts.append(Text("gauge.power", power=gpu.power))
    return listed(*parts, Text("gauge.driver", version=gpu.driver))


def _problem(sample: MemorySample) -> Said:
    if sample.gpu is None and sample.state == "none":
        return Text("gauge.no_gpu")
    return sample.problem


def _share(part: int, total: int) -> float:
    return round(min(1.0, part / total), 4) if total else 0.0


def _spark(window: Sequence[MemorySample], now: float) -> list[float | None]:
    """Use as fractions, one a second, oldest first; None where nothing was sampled."""
    points: list[float | None] = [None] * SPARK_POINTS
    with_gpu = bool(window) and window[-1].gpu is not None
    for sample in window:
        if (sample.gpu is not None) != with_gpu:
            continue  # a GPU that came or went: one line shows one memory
        place = SPARK_POINTS - 1 - round(now - sample.at)
        if 0 <= place < SPARK_POINTS:
            total, used, _ = _device(sample, None)
            points[place] = round(used / total, 3) if total else None
    return points
