"""Presets: a mistake is told with its file and line."""

import shutil
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.presets import PresetError, load_presets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HEADROOM_PRESETS")
    shutil.copytree(PROJECT / "presets/models", tmp_path / "p/models")
    shutil.copy(PROJECT / "presets/sizes.yaml", tmp_path / "p")
    return tmp_path / "p"


def test_the_shipped_presets_fit_each_other(folder: Path) -> None:
    presets = load_presets(folder)
    for model, preset in presets.models.items():
        limits = preset.limits
        for size in presets.sizes_for(model):
            assert limits.height.min <= size.height <= limits.height.max
            assert limits.width.min <= size.width <= limits.width.max
        for frames in presets.frames_for(model):
            assert frames % 4 == 1
            assert limits.frames.min <= frames <= limits.frames.max
    used = {model for size in presets.sizes for model in size.models} | set(presets.frames)
    assert used <= set(presets.models)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 4", "steps: four", "steps"),
        ("fps: 16", "fps: 0", "greater than or equal to 1"),
        ("pipeline: wan_tiny", "pipeline: magic", "pipeline"),
        ("name: Wan tiny", "nmae: Wan tiny", "nmae: Extra"),
        ("width: {min: 16, max: 1280}", "width: {min: 160, max: 128}", "min 160 is above"),
        ("frames: 17}", "frames: 16}", "4k+1"),
        ("steps: 4", "steps: ]4", "expected"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(folder: Path, old: str, new: str, words: str) -> None:
    file = folder / "models" / "wan-tiny.yaml"
    text = file.read_text()
    line = text[: text.index(old)].count("\n") + 1
    file.write_text(text.replace(old, new))
    with pytest.raises(PresetError) as caught:
        load_presets(folder)
    assert f"{file}: line {line}: " in caught.value.sentence
    assert words in caught.value.sentence
    assert caught.value.remedy


def test_two_models_of_one_id_are_refused(folder: Path) -> None:
    shutil.copy(folder / "models/wan-tiny.yaml", folder / "models/again.yaml")
    with pytest.raises(PresetError, match="is taken by another file"):
        load_presets(folder)


def test_no_presets_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADROOM_PRESETS")
    with pytest.raises(PresetError, match="no model preset"):
        load_presets(tmp_path)
