"""From rows to tables and to a file that the program reads."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.presets import Reference
from engine.request import Size
from engine.units import GIB
from tests.tools.gpu import summary
from tests.tools.gpu.pretend import size as shrunk
from tests.tools.gpu.rows import GRID

PLAN = {
    "matmul": "fp8-sgl",
    "attention": "torch_sdpa",
    "offload": "block",
    "decode": "whole",
    "rope_chunk": 8192,
    "compile": "off",
    "device": "cuda",
    "precision": "fp8",
    "text_encoder": "fp8-sgl",
}


def run(name: str, denoise: float, decode: float, kind: str = "run", **more: Any) -> dict[str, Any]:
    size = [int(part) for part in name.split("x")]
    peaks = {"encode": GIB, "denoise": round(denoise * GIB), "decode": round(decode * GIB)}
    seconds = {"encode": 0.1, "denoise": 2.0, "decode": 1.0}
    row = {"kind": kind, "cap": 16.0, "choices": PLAN, "size": size, "outcome": "ok", "steps": 1}
    return {**row, "peaks": peaks, "seconds": seconds, **more}


ROWS: list[dict[str, Any]] = [
    {
        "kind": "load",
        "cap": 16.0,
        "choices": PLAN,
        "device": "NVIDIA H100",
        "rss": GIB,
        "pinned": None,
        "torch_pinned": 2 * GIB,
        "versions": {"torch": "2.11.0", "triton": "3.6.0"},
    },
    run("480x832x33", 4.0, 5.0),
    run("480x832x81", 6.0, 5.05),
    run("480x832x81", 6.5, 5.05, "choice", changed={"rope_chunk": 0}),
    run("720x1280x81", 11.0, 10.0, "open"),
    run("720x1280x81", 9.0, 4.0, "choice", changed={"decode": "tiled"}),
    run("720x1280x121", 0, 0, "open", outcome="out_of_memory", peaks={}, seconds={}),
    run("480x832x81", 6.0, 5.0, "warm", steps=None, seconds={"denoise": 9.0, "decode": 1.0}),
    {"kind": "theirs", "choices": PLAN, "size": [480, 832, 81], "seconds": 12.5},
    {
        "kind": "verdicts",
        "cap": 16.0,
        "when": "in the end",
        "choices": PLAN,
        "budget": 16 * GIB,
        "sizes": [
            ["480×832×81", "open", "measured", 1, True],
            ["720×1280×81", "locked", "none", 1, True],
        ],
    },
    {"kind": "open_sizes", "cap": 16.0, "ran": 3, "failed": []},
    {"kind": "task", "name": "a", "seconds": 1.0, "failed": "KeyError: 'x'\nmore"},
    {"kind": "same_after", "what": "a block", "frames": True, "latents": True},
]


def test_half_a_row_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)) + '\n{"kind": "ru')
    assert summary.read([file]) == ROWS


def test_peaks_are_of_the_choices_asked_for() -> None:
    whole = summary.peaks(ROWS, matmul="fp8-sgl")
    assert max(whole[Size(480, 832, 81)].values()) == 6 * GIB  # not the 6.5 of another rope chunk
    assert max(whole[Size(720, 1280, 81)].values()) == 11 * GIB
    assert Size(720, 1280, 121) not in whole
    tiled = summary.peaks(ROWS, matmul="fp8-sgl", decode="tiled")
    assert set(tiled) == {Size(720, 1280, 81)}
    assert summary.peaks(ROWS, matmul="fp8-triton") == {}


def test_the_reference_is_one_that_the_program_reads() -> None:
    text = summary.reference(ROWS, matmul="fp8-sgl", decode="whole")
    read = Reference.model_validate_json(json.dumps(yaml.safe_load(text)))
    assert read.model == summary.MODEL
    assert [(p.height, p.frames, p.peak_gib) for p in read.points] == [
        (480, 33, 5.0),
        (480, 81, 6.0),
        (720, 81, 11.0),
    ]
    assert "fp8-sgl" in read.source
    assert "NVIDIA H100" in read.device


@pytest.mark.parametrize(
    ("peak", "caps"), [(6.0, [8, 12, 16, 24]), (7.7, [12, 16, 24]), (15.0, [16, 24]), (23.5, [])]
)
def test_a_margin_stays_free(peak: float, caps: list[int]) -> None:
    assert summary.fits(round(peak * GIB)) == caps


def test_what_the_guard_left_closed_is_found() -> None:
    assert summary.unopened(ROWS) == {16.0: ["720×1280×81"]}


def test_the_report_has_a_table_for_what_there_is() -> None:
    text = summary.report(ROWS)
    assert "| 480x832x81 | fp8-sgl | LightX2V's own |  |  |  | 12.5 | 0.80 |" in text
    assert "KeyError: 'x' more" in text  # one line, whatever it was
    assert "| fp8-sgl | whole | 720×1280×81 | 1.00 | 11.00 | 10.00 | 12, 16, 24 |" in text
    assert "never opened though measured to fit: 720×1280×81." in text
    assert "| a block |  | True | True |" in text
    assert "gauge" not in text.lower()


def test_pretended_sizes_stay_apart_and_valid() -> None:
    tiny = [shrunk(size) for size in GRID]
    assert all(s.height % 16 == s.width % 16 == 0 and s.frames % 4 == 1 for s in tiny)
    assert shrunk(Size(480, 832, 81)) != shrunk(Size(720, 1280, 81))
    assert summary.report([]) == "\n"
