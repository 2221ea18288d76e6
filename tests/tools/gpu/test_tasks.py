"""Each measurement runs through with the real LightX2V, tiny and without a GPU (pretend.py)."""

import json
from pathlib import Path

import pytest

from tests.contract import packages

REAL = packages.real()
if REAL is None:
    pytest.skip(packages.WANTED, allow_module_level=True)

# What a machine without a GPU can't do in any way.
NEEDS_A_GPU = {"attention of sageattention"}
PHASES = ("--settings", '{"offload_granularity": "phase"}')
LAZY = ("--choices", '{"offload": "lazy"}')


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert REAL is not None
    return REAL.write_workspace(tmp_path_factory.mktemp("gpu") / "root")


@pytest.mark.parametrize(
    "task",
    [
        ("measure", "trials"),
        ("measure", "fast"),
        ("measure", "long"),
        ("measure", "points"),
        ("measure", "promises"),
        ("measure", "adapters"),
        ("measure", "adapters", *LAZY),
        ("measure", "variant", *PHASES),
        ("measure", "variant", *LAZY, "--new-prompt"),
        ("pictures", "both"),
        ("pictures", "one"),
        ("pictures", "lazy"),
        ("pictures", "encode"),
        ("climbing", "--cap", "16", "12"),
        ("page",),
    ],
    ids=lambda task: " ".join(task[:2]),
)
def test_a_measurement_runs_through(
    task: tuple[str, ...], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REAL is not None
    monkeypatch.setenv("HEADROOM_GPU_PRETEND", "1")
    out = tmp_path / "rows.jsonl"
    module, *arguments = task
    at = 0 if module in ("climbing", "page") else 1
    REAL.run(f"tests.tools.gpu.{module}", *arguments[:at], str(out), *arguments[at:], root=root)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    tasks = [row for row in rows if row["kind"] == "task"]
    assert tasks
    failed = {row["name"]: row["failed"] for row in tasks if row["failed"]}
    assert failed.keys() <= NEEDS_A_GPU, failed
    assert all(row["frames"] and row["latents"] for row in rows if row["kind"] == "same_after")
    encoded = [row["same"] for row in rows if row["kind"] == "encoded"]
    assert all(same["twice"] and same["theirs"] for same in encoded)
    assert all(row["same"] for row in rows if row["kind"] == "page_same")
    assert all(row["state"] == "done" for row in rows if row["kind"] == "page_killed")
    broken = [row for row in rows if row["kind"] == "broken_context"]
    assert all(row["state"] == row["then"] == "done" and row["same"] for row in broken)
    assert all(row["attempts"] == 2 and row["other_worker"] for row in broken)
