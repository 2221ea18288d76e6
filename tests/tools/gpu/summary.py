"""From the rows that the measurements left to what is kept of them.

``python -m tests.tools.gpu.summary FILE.jsonl...`` prints the tables in Markdown;
``--reference matmul=fp8-sgl decode=whole`` prints a file for presets/measured instead.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from engine.guard.budget import margin
from engine.guard.predict import Rules, fitted
from engine.presets import load_presets
from engine.request import Size
from engine.units import GIB
from tests.tools.gpu import tables

Row = Mapping[str, Any]
MODEL = "wan2.1-t2v-14b-fp8"
CAPS = (8, 12, 16, 24)  # GiB, the cards that people have
MEMORY = ("run", "probe", "open", "choice", "longest", "warm", "cold")


def read(files: Iterable[Path]) -> list[Row]:
    """Every whole row; a run that was cut short may end in half of one."""
    rows: list[Row] = []
    for file in files:
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    return rows


def choices(row: Row) -> dict[str, Any]:
    return {**row.get("choices", {}), **row.get("changed", {})}


def size(row: Row) -> Size:
    height, width, frames = row["size"]
    return Size(height, width, frames)


def peaks(rows: Iterable[Row], **asked: str) -> dict[Size, dict[str, int]]:
    """The largest peaks by stage of each size that ran with the choices ``asked`` for.

    Without other word a row counts with the plan's usual attention and rope chunk, and with
    blocks that wait in RAM; how they are page-locked there is nothing to the GPU.
    """
    usual = {"attention": "torch_sdpa", "decode": "whole", "compile": "off"}
    wanted = {**usual, **asked}
    found: dict[Size, dict[str, int]] = {}
    for row in rows:
        if row["kind"] not in MEMORY or row.get("outcome") not in ("ok", "over_budget"):
            continue
        chosen = choices(row)
        if any(str(chosen.get(name)) != value for name, value in wanted.items()):
            continue
        if not str(chosen.get("offload")).startswith("block") or "offload_granularity" in chosen:
            continue
        if int(chosen.get("rope_chunk", 8192)) != 8192 or not row["peaks"]:
            continue
        kept = found.setdefault(size(row), {})
        for stage, peak in row["peaks"].items():
            kept[stage] = max(peak, kept.get(stage, 0))
    return found


def rules() -> Rules:
    memory = load_presets().models[MODEL].memory
    base = memory.baseline
    return Rules(
        Size(base.height, base.width, base.frames),
        round(memory.baseline_peak_gib * GIB),
        round(memory.minimum_gib * GIB),
        memory.token_pixels,
    )


def errors(measured: Mapping[Size, Mapping[str, int]], by: tuple[Size, Size]) -> dict[Size, float]:
    """How far the line through two sizes is off at each other one: a share of the measured peak."""
    known = {s: measured[s] for s in by}
    found: dict[Size, float] = {}
    for other, stages in measured.items():
        line = fitted(other, known, rules())
        if other not in by and line is not None:
            peak = max(stages.values())
            found[other] = (line - peak) / peak
    return found


def fits(peak: int) -> list[int]:
    """The caps of CAPS that leave room for ``peak`` and its margin."""
    return [cap for cap in CAPS if peak + margin(peak) <= cap * GIB]


def unopened(rows: Iterable[Row]) -> dict[float, list[str]]:
    """By cap: what the guard left closed in the end though it was measured to fit there."""
    rows = list(rows)
    found: dict[float, list[str]] = {}
    for row in rows:
        if row["kind"] != "verdicts" or row["when"] != "in the end":
            continue
        chosen = {name: str(row["choices"][name]) for name in ("matmul", "decode")}
        known = {str(s): max(p.values()) for s, p in peaks(rows, **chosen).items()}
        found[row["cap"]] = [
            name
            for name, word, _, _, _ in row["sizes"]
            if word != "open" and name in known and row["cap"] in _as_caps(known[name], row["cap"])
        ]
    return found


def _as_caps(peak: int, cap: float) -> list[float]:
    return [cap] if peak + margin(peak) <= cap * GIB else []


def reference(rows: Sequence[Row], **asked: str) -> str:
    """A file for presets/measured: the peaks that ran with the choices ``asked`` for."""
    device, versions = "", {}
    for row in rows:
        if row["kind"] == "load":
            device, versions = row["device"], row["versions"]
    told = ", ".join(f"{name} {value}" for name, value in asked.items())
    ran = ", ".join(f"{name} {versions[name]}" for name in ("torch", "triton") if name in versions)
    lines = [
        "# Written by tests/tools/gpu/summary.py from runs on that card under a ceiling of 16 GiB",
        "# (the longest under 24): random FP8 weights of the true shapes. A peak is what was",
        "# allocated and what CUDA holds beside it.",
        f"model: {MODEL}",
        f"device: {device}, under a ceiling",
        f"source: Headroom, {date.today()}, LightX2V f8aee98b, {ran}, {told}, torch_sdpa, block "
        "offload",
        *([f"matmul: {asked['matmul']}"] if "matmul" in asked else []),
        "points:",
    ]
    for s, stages in sorted(peaks(rows, **asked).items(), key=lambda p: (p[0].pixels, p[0].tokens)):
        peak = max(stages.values()) / GIB
        lines.append(
            f"  - {{height: {s.height}, width: {s.width}, frames: {s.frames},"
            f" peak_gib: {peak:.2f}}}"
        )
    return "\n".join(lines) + "\n"


def report(rows: Sequence[Row]) -> str:
    """All tables that the rows have something for."""
    parts = [
        ("Tasks that failed", tables.failures(rows)),
        ("Kernels tried once", tables.trials(rows)),
        ("Seconds by stage", tables.seconds(rows)),
        ("The text encoder", tables.prompts(rows)),
        ("What a choice changes", tables.changes(rows)),
        ("Where a step's time goes", tables.profiles(rows)),
        ("Memory", _memory(rows)),
        ("The guard", tables.guard(rows, unopened(rows))),
        ("After a failure", tables.recoveries(rows)),
        ("Clips in a row", tables.held(rows)),
        ("The gauge", tables.gauges(rows)),
        ("Page-locked memory", tables.pinned(rows)),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in parts if table) + "\n"


def _memory(rows: Sequence[Row]) -> str:
    lines: list[list[object]] = []
    tail: list[str] = []
    kernels = sorted({str(choices(r).get("matmul")) for r in rows if r["kind"] in MEMORY})
    for kernel in kernels:
        for decode in ("whole", "tiled"):
            measured = peaks(rows, matmul=kernel, decode=decode)
            for s, stages in sorted(measured.items(), key=lambda p: (p[0].pixels, p[0].tokens)):
                peak = max(stages.values())
                by_stage = [
                    f"{stages.get(n, 0) / GIB:.2f}" for n in ("encode", "denoise", "decode")
                ]
                fit = ", ".join(map(str, fits(peak))) or "none"
                lines.append([kernel, decode, s, *by_stage, fit])
            tail += _prediction(kernel, decode, measured)
    if not lines:
        return ""
    head = ["kernel", "decode", "size", "encode", "denoise", "decode, GiB", "fits GiB"]
    return "\n".join([tables.table(head, lines), "", *tail])


def _prediction(kernel: str, decode: str, measured: Mapping[Size, Mapping[str, int]]) -> list[str]:
    by = (Size(480, 832, 81), Size(720, 1280, 81))
    if any(s not in measured for s in by) or len(measured) < 3:
        return []
    found = errors(measured, by)
    worst = max(found, key=lambda s: abs(found[s]))
    return [
        f"{kernel}, {decode}: {by[0]} and {by[1]} predict the other {len(found)} within "
        f"{abs(found[worst]):.1%} (worst at {worst})."
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--reference", nargs="+", metavar="NAME=VALUE")
    options = parser.parse_args()
    rows = read(options.files)
    if options.reference:
        asked = dict(part.split("=", 1) for part in options.reference)
        sys.stdout.write(reference(rows, **asked))
    else:
        sys.stdout.write(report(rows))


if __name__ == "__main__":
    main()
