"""Presets of models for a GPU, scripted."""

from pathlib import Path

from tests.conftest import TESTS

FETCHED_ID = "large-fetched"
FETCHED = {
    "id: fetched": f"id: {FETCHED_ID}",
    "name: Fetched": "name: Large (FP8)",
    "runs_on: cpu": "runs_on: nvidia",
}


def for_gpu(folder: Path, *precisions: str) -> None:
    """The scripted pipeline as models for a GPU: they need no packages and no weights."""
    text = (TESTS / "fixtures/presets/scripted-fp8.yaml").read_text(encoding="utf-8")
    text = text.replace("runs_on: cpu", "runs_on: nvidia").replace("name: Planned", "name: Large")
    for precision in precisions:
        own = text.replace("id: scripted-fp8", f"id: large-{precision}")
        own = own.replace("precision: fp8", f"precision: {precision}")
        (folder / f"large-{precision}.yaml").write_text(own, encoding="utf-8")


def fetched_for_gpu(folder: Path) -> None:
    """The hub's model, whose weights have to be fetched first, as one for a GPU."""
    text = (TESTS / "fixtures/presets_weights/fetched.yaml").read_text(encoding="utf-8")
    for old, new in FETCHED.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "large.yaml").write_text(text, encoding="utf-8")
