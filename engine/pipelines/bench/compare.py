"""What a loaded model is held against: the device's own rates, its busy share, LightX2V's own way.

Plain values come out, for the benchmark's process to put beside its clips.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from engine.errors import first_line
from engine.pipelines import family_of
from engine.pipelines.base import Pipeline, Run
from engine.pipelines.bench.device_rates import rates
from engine.pipelines.bench.profiler import Entering, Profiler
from engine.plan.flops import architecture_of
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.units import gigabytes

log = logging.getLogger("headroom.bench")


def compare(
    pipeline: Pipeline, preset: ModelPreset, request: ClipRequest, run: Run, ceiling: int
) -> dict[str, Any]:
    """What can be told of ``preset`` at ``request``, which has run before.

    Returns:
        ``rates`` (device_rates.py), and around LightX2V ``attention_times``, ``step`` (trace.py)
        and
        ``theirs``: seconds and peak of its own pipeline, or ``failed``. What couldn't be measured
        isn't in it; ``left_out`` has the reason by name.
    """
    cuda = torch.cuda.is_available() and preset.runs_on == "nvidia"
    tokens, shape = request.size.tokens, architecture_of(preset)
    asked: dict[str, Callable[[], Any]] = {}
    if shape is not None:
        precision, device = preset.precision or "float32", "cuda" if cuda else "cpu"
        asked["rates"] = lambda: rates(shape, precision, tokens, device)
    if family_of(preset).upstream:
        asked |= _around_lightx2v(pipeline, request, run, ceiling, cuda)
    found: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, measure in asked.items():
        try:
            found[name] = measure()
        except Exception as error:  # minutes of clips were measured before, and they count
            log.exception("%s could not be measured", name)
            left_out[name] = first_line(error)
        if cuda:
            torch.cuda.empty_cache()
    return {**found, "left_out": left_out}


def _around_lightx2v(
    pipeline: Any, request: ClipRequest, run: Run, ceiling: int, cuda: bool
) -> dict[str, Callable[[], Any]]:
    """In this order: its own way comes last, as nothing relies on what it leaves behind."""
    from engine.pipelines.lightx2v import kernels

    asked: dict[str, Callable[[], Any]] = {}
    attention = str(pipeline._plan["attention"].value)
    shape = architecture_of(pipeline.preset)
    if cuda and attention != "torch_sdpa" and shape is not None:
        tokens = request.size.tokens
        asked["attention_times"] = lambda: kernels.attention_speed(attention, shape, tokens)

    def step() -> dict[str, Any]:
        profiler = Profiler("denoise", cuda)
        try:
            with pipeline.meter.ceiling(ceiling):
                pipeline.generate(request, request.seed, Entering(run, profiler), steps=1)
        finally:
            profiler.stop()
        return profiler.found().as_json()

    def theirs() -> dict[str, Any]:
        with pipeline.meter.ceiling(ceiling):
            return _theirs(pipeline, request, ceiling)

    return {**asked, "step": step, "theirs": theirs}


def _theirs(pipeline: Any, request: ClipRequest, ceiling: int) -> dict[str, Any]:
    from engine.pipelines.bench.upstream_pipeline import theirs
    from engine.pipelines.cuda import out_of_memory

    if pipeline._plan["offload"].value == "lazy":
        return {"failed": "its weights are read from the disk, for each clip anew"}
    try:
        with theirs(pipeline) as generate:
            pipeline.meter.reset()
            began = time.perf_counter()
            generate(request)
            peak = pipeline.meter.peak()  # waits for nothing: the video lies in RAM by now
            return {"seconds": round(time.perf_counter() - began, 3), "peak": peak}
    except Exception as error:  # it needs more memory than ours; that is an answer as well
        log.exception("LightX2V's own pipeline failed")
        if out_of_memory(error) is not None:
            return {"failed": f"it ran out of memory within ours' limit of {gigabytes(ceiling)}"}
        return {"failed": first_line(error)}
