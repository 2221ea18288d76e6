"""The scripted pipeline as a model for NVIDIA's GPUs: planned and judged as one."""

import shutil
from pathlib import Path

from tests.conftest import TESTS

CHANGED = {
    "id: scripted-fp8": "id: on-a-gpu",
    "name: Planned": "name: On a GPU",
    "runs_on: cpu": "runs_on: nvidia",
    "baseline_peak_gib: 0.5": "baseline_peak_gib: 8.0",
}


def presets_in(folder: Path) -> Path:
    """A copy of the tests' presets in ``folder``, with the model ``on-a-gpu`` among them."""
    presets = folder / "presets"
    shutil.copytree(TESTS / "fixtures/presets", presets)
    text = (presets / "scripted-fp8.yaml").read_text()
    for old, new in CHANGED.items():
        assert old in text
        text = text.replace(old, new)
    (presets / "on-a-gpu.yaml").write_text(text)
    return presets
