"""What a loaded model is held against: the device's own rates, its busy share, LightX2V's own way.

Plain values come out, for the benchmark's process to put beside its clips.
"""

import logging
import time
from typing import Any

import torch

from engine.errors import first_line
from engine.pipelines.base import Pipeline, Run
from engine.pipelines.floor import rates
from engine.pipelines.profiling import Entering, Profiler
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.work import architecture_of

log = logging.getLogger("headroom.yardsticks")


def compare(
    pipeline: Pipeline, preset: ModelPreset, request: ClipRequest, run: Run, ceiling: int
) -> dict[str, Any]:
    """What can be told of ``preset`` at ``request``, which has run before.

    Returns:
        ``rates`` (floor.py), and around LightX2V ``step`` (trace.py) and ``theirs``: seconds and
        peak of its own pipeline, or ``failed``.
    """
    found: dict[str, Any] = {}
    shape = architecture_of(preset)
    device = "cuda" if torch.cuda.is_available() and preset.runs_on == "nvidia" else "cpu"
    if shape is not None:
        precision = preset.precision or "float32"
        found["rates"] = rates(shape, precision, request.size.tokens, device)
        if device == "cuda":
            torch.cuda.empty_cache()
    if preset.pipeline == "lightx2v":
        # The last of all: whatever state it leaves the process in, nothing runs after it.
        found |= _around_lightx2v(pipeline, request, run, ceiling, device)
    return found


def _around_lightx2v(
    pipeline: Pipeline, request: ClipRequest, run: Run, ceiling: int, device: str
) -> dict[str, Any]:
    from engine.pipelines import kernels
    from engine.pipelines.lightx2v import LightX2V

    assert isinstance(pipeline, LightX2V)
    found: dict[str, Any] = {}
    attention = str(pipeline._plan["attention"].value)
    if device == "cuda" and attention != "torch_sdpa":
        shape, tokens = architecture_of(pipeline.preset), request.size.tokens
        assert shape is not None
        found["attention_times"] = kernels.attention_speed(attention, shape, tokens)
        torch.cuda.empty_cache()
    profiler = Profiler("denoise", device == "cuda")
    with pipeline.meter.ceiling(ceiling):
        pipeline.generate(request, request.seed, Entering(run, profiler), steps=1)
        found["step"] = profiler.found().as_json()
        found["theirs"] = _theirs(pipeline, request)
    return found


def _theirs(pipeline: Any, request: ClipRequest) -> dict[str, Any]:
    from engine.pipelines.cuda import out_of_memory
    from engine.pipelines.theirs import theirs

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
        spent = out_of_memory(error)
        return {"failed": spent.sentence if spent is not None else first_line(error)}
