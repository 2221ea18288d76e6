"""What a profiler's trace says of a step: pure functions over Chrome's trace format.

Times are microseconds. Kernels are joined where they overlap, so that two streams count once.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Span = tuple[float, float]

# What a kernel's name says of its work; the first that fits counts.
FAMILIES = (
    ("attention", ("flash", "fmha", "attention", "attn", "softmax", "_attn_fwd")),
    ("matrix", ("gemm", "cutlass", "nvjet", "scaled_mm", "matmul", "xmma", "cublas")),
    ("quantise", ("quant",)),
    ("norm and modulation", ("norm", "scale_shift", "modulat")),
    ("decode", ("conv", "wgrad", "implicit")),
)


@dataclass(frozen=True)
class Step:
    """One profiled stretch: ``window`` from its first kernel's beginning to its last's end."""

    window: float
    busy: float
    copies: float
    copied_bytes: int
    hidden: float  # of ``copies``, what ran beside kernels
    kernels: tuple[tuple[str, float, int], ...]  # name, time, calls; the longest first

    def as_json(self) -> dict[str, Any]:
        """Milliseconds, and shares of one."""
        families: dict[str, float] = defaultdict(float)
        for name, time, _ in self.kernels:
            families[family(name)] += time / 1e3
        return {
            "window_ms": round(self.window / 1e3, 1),
            "busy_ms": round(self.busy / 1e3, 1),
            "busy_share": round(self.busy / self.window, 4) if self.window else None,
            "copy_ms": round(self.copies / 1e3, 1),
            "copy_bytes": self.copied_bytes,
            "copy_hidden_share": round(self.hidden / self.copies, 4) if self.copies else None,
            "families_ms": {name: round(ms, 1) for name, ms in sorted(families.items())},
            "kernels_ms": [[n[:120], round(t / 1e3, 2), c] for n, t, c in self.kernels[:30]],
        }


def family(kernel: str) -> str:
    name = kernel.lower()
    for known, signs in FAMILIES:
        if any(sign in name for sign in signs):
            return known
    return "elementwise and the rest"


def read(file: Path) -> Step:
    """The step in a file that ``torch.profiler.profile.export_chrome_trace`` wrote."""
    return step(json.loads(file.read_text(encoding="utf-8"))["traceEvents"])


def step(events: list[dict[str, Any]]) -> Step:
    kernels: list[Span] = []
    copies: list[Span] = []
    named: dict[str, list[float]] = defaultdict(list)
    moved = 0
    for event in events:
        if event.get("ph") != "X":
            continue
        span = (float(event["ts"]), float(event["ts"]) + float(event["dur"]))
        if event.get("cat") == "kernel":
            kernels.append(span)
            named[str(event["name"])].append(float(event["dur"]))
        elif event.get("cat") == "gpu_memcpy" and "HtoD" in str(event["name"]):
            copies.append(span)
            moved += int(event.get("args", {}).get("bytes", 0))
    busy, copying = joined(kernels), joined(copies)
    window = busy[-1][1] - busy[0][0] if busy else 0.0
    by_time = sorted(((n, sum(t), len(t)) for n, t in named.items()), key=lambda row: -row[1])
    return Step(
        window, total(busy), total(copying), moved, total(common(busy, copying)), tuple(by_time)
    )


def joined(spans: list[Span]) -> list[Span]:
    """The same time without overlaps, in order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def common(a: list[Span], b: list[Span]) -> list[Span]:
    """Where both are; each without overlaps of its own."""
    found: list[Span] = []
    i = j = 0
    while i < len(a) and j < len(b):
        begin, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if begin < end:
            found.append((begin, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return found


def total(spans: list[Span]) -> float:
    return sum(end - begin for begin, end in spans)
