"""Weights are held to their hash when they are used, not only when they came."""

import os
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs, State
from engine.presets import ModelPreset, load_presets
from engine.request import ClipRequest
from engine.store import Store
from engine.weights import at_use
from engine.weights.at_use import check_at_use
from engine.weights.downloads import Downloads
from engine.weights.hub import WeightsError
from engine.weights.manifest import OURS, Check, Manifest
from tests.conftest import finish
from tests.support.fetching import Run
from tests.support.hub import Hub

MODEL = "fetched"
BLOCK = "distill_fp8/block_2.safetensors"


@pytest.fixture
def preset(hub: Hub) -> ModelPreset:
    return load_presets().models[MODEL]


@pytest.fixture
def folder(downloads: Downloads, here_and_now: Run) -> Path:
    assert here_and_now(downloads).phase == "done"
    return downloads.folder(MODEL)


def flip(file: Path) -> None:
    """Another last byte; size and time of its content as before."""
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_hashed_when_it_came_is_not_hashed_at_each_start(
    folder: Path, preset: ModelPreset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> str:
        raise AssertionError("hashed without need")

    monkeypatch.setattr(at_use, "digest", unwanted)
    assert check_at_use(folder, preset) == 0


@pytest.mark.reliability("a byte of the weights changed since they were hashed, times put back")
@pytest.mark.parametrize("how", ["in place", "another file", "a link elsewhere"])
def test_a_file_that_changed_is_hashed_and_refused(
    folder: Path, preset: ModelPreset, tmp_path: Path, how: str
) -> None:
    block = folder / BLOCK
    if how == "in place":
        flip(block)
    else:
        other, before = tmp_path / "other", block.stat()
        other.write_bytes(block.read_bytes())
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        flip(other)
        if how == "another file":
            os.replace(other, block)
        else:
            block.unlink()
            block.symlink_to(other)
    for _ in range(2):
        with pytest.raises(WeightsError, match="block_2") as caught:
            check_at_use(folder, preset)
        assert caught.value.remedy


def test_a_file_that_was_touched_is_hashed_once_more_and_used(
    folder: Path, preset: ModelPreset
) -> None:
    os.utime(folder / BLOCK)
    assert [check_at_use(folder, preset), check_at_use(folder, preset)] == [1, 0]
    (folder / OURS / "manifest.json").chmod(0o400)
    os.utime(folder / BLOCK)
    assert check_at_use(folder, preset) == 1


def test_what_a_version_before_noted_still_counts(folder: Path, preset: ModelPreset) -> None:
    """It kept neither the file's number nor the time of its entry."""
    manifest = Manifest.load(folder)
    manifest.checks = {
        path: Check(check.place, check.bytes, check.mtime_ns, check.good)
        for path, check in manifest.checks.items()
    }
    manifest.save()
    assert check_at_use(folder, preset) == 0
    os.utime(folder / BLOCK)
    assert check_at_use(folder, preset) == 1


@pytest.mark.starts
def test_a_clip_is_refused_where_the_weights_changed(folder: Path, preset: ModelPreset) -> None:
    """By the worker, before it loads anything, with what mends it; from then on at once."""
    home = Home.find()
    store = Store(home.database)
    engine = Engine(home, load_presets(), Jobs(store))
    request = ClipRequest.check(
        {"prompt": "x", "height": 32, "width": 48, "frames": 5, "model": MODEL}, engine.presets
    )
    try:
        engine.start()
        flip(folder / BLOCK)
        job = finish(engine, engine.submit(request))
        assert job.state is State.FAILED
        assert "block_2" in str(job.note)
        assert str(job.remedy)
        with pytest.raises(WeightsError, match="block_2"):
            engine.submit(request)
    finally:
        engine.close()
        store.close()
