"""Presets of models for a GPU, scripted."""

from pathlib import Path

from tests.conftest import TESTS


def for_gpu(folder: Path, *precisions: str) -> None:
    """The scripted pipeline as models for a GPU: they need no packages and no weights."""
    text = (TESTS / "fixtures/presets/scripted-fp8.yaml").read_text(encoding="utf-8")
    text = text.replace("runs_on: cpu", "runs_on: nvidia").replace("name: Planned", "name: Large")
    for precision in precisions:
        own = text.replace("id: scripted-fp8", f"id: large-{precision}")
        own = own.replace("precision: fp8", f"precision: {precision}")
        (folder / f"large-{precision}.yaml").write_text(own, encoding="utf-8")
