"""Of a profiler's events: kernels that overlap count once, and copies where kernels run beside."""

import json
from pathlib import Path
from typing import Any

from engine.pipelines.bench import trace


def event(cat: str, name: str, ts: float, dur: float, **args: int) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "args": args}


EVENTS: list[dict[str, Any]] = [
    event("kernel", "flash_fwd_kernel", 0, 40),
    event("kernel", "cutlass_gemm", 30, 30),  # another stream, 10 of it beside the first
    event("kernel", "vectorized_elementwise", 80, 20),
    event("kernel", "vectorized_elementwise", 100, 10),
    event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 50, 40, bytes=1000),
    event("gpu_memcpy", "Memcpy DtoH (Device -> Pinned)", 0, 100, bytes=5),
    event("cpu_op", "aten::mm", 0, 500),
    {"ph": "M", "name": "process_name"},
]


def test_a_step_is_summed_from_its_events(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text(json.dumps({"traceEvents": EVENTS}))
    step = trace.read(file)
    assert (step.window, step.busy) == (110, 90)
    assert (step.copies, step.copied_bytes, step.hidden) == (40, 1000, 20)
    assert step.kernels[0] == ("flash_fwd_kernel", 40, 1)
    assert ("vectorized_elementwise", 30, 2) in step.kernels


def test_shares_and_families_are_told() -> None:
    told = trace.step(EVENTS).as_json()
    assert told["busy_share"] == round(90 / 110, 4)
    assert told["copy_hidden_share"] == 0.5
    assert told["families_ms"].keys() == {"attention", "matrix", "elementwise and the rest"}


def test_nothing_profiled_is_no_error() -> None:
    told = trace.step([]).as_json()
    assert told["busy_share"] is None
    assert told["copy_hidden_share"] is None


def test_common_time_of_two_lists() -> None:
    a = trace.joined([(0, 10), (5, 20), (30, 40)])
    assert a == [(0, 20), (30, 40)]
    assert trace.common(a, [(10, 35), (39, 50)]) == [(10, 20), (30, 35), (39, 40)]
