"""Weights are held to their hash when they are used, not only when they came."""

import os
import shutil
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
from engine.weights.checkpoint import find_checkpoint
from engine.weights.downloads import Downloads
from engine.weights.hub import WeightsError
from engine.weights.linked_folders import link
from engine.weights.manifest import OURS, Check, Manifest
from engine.weights.state import look
from tests.conftest import finish
from tests.support.fetching import Run
from tests.support.hub import Hub

pytestmark = pytest.mark.starts  # a hub of our own listens

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


def linked_beside_remains(folder: Path, other: Path) -> Path:
    """One block is left in the own folder; the linked one has all, that block with another byte."""
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(OURS))
    for file in folder.rglob("*block*"):
        if file != folder / BLOCK:
            file.unlink()
    link(folder, [other])
    flip(other / BLOCK)
    return other


@pytest.mark.reliability("a byte changed in a linked folder, the right file in the own one unused")
def test_what_is_hashed_is_what_is_loaded(
    folder: Path, preset: ModelPreset, downloads: Downloads, here_and_now: Run, tmp_path: Path
) -> None:
    other = linked_beside_remains(folder, tmp_path / "other")
    assert find_checkpoint(folder, preset).transformer == other / "distill_fp8"
    with pytest.raises(WeightsError, match="block_2") as caught:
        check_at_use(folder, preset)
    assert str(other) in str(caught.value)
    assert look(folder, preset).damaged == (other / BLOCK,)
    assert here_and_now(downloads, "verify").damaged == (str(other / BLOCK),)
    assert here_and_now(downloads).phase == "done", "the remedy"
    assert find_checkpoint(folder, preset).transformer == folder / "distill_fp8"
    check_at_use(folder, preset)
    assert look(folder, preset).state == "ready"


@pytest.mark.parametrize("role", ["transformer", "text_encoder", "tokenizer", "vae"])
def test_each_file_that_is_loaded_is_hashed(
    folder: Path, preset: ModelPreset, tmp_path: Path, role: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(OURS))
    mine = [one for one in Manifest.load(folder).promises.values() if one.role == role]
    for one in mine:
        (folder / one.path).unlink()
    link(folder, [other])
    assert check_at_use(folder, preset) == len(mine)
    flip(other / mine[-1].path)
    with pytest.raises(WeightsError, match=mine[-1].path):
        check_at_use(folder, preset)


@pytest.mark.reliability("a byte of the weights changed, the model's own record gone or cut off")
@pytest.mark.parametrize("how", ["gone", "cut off", "linked"])
def test_what_was_pinned_holds_where_the_record_is_gone(
    folder: Path, preset: ModelPreset, tmp_path: Path, how: str
) -> None:
    record, place = folder / OURS / "manifest.json", folder
    if how == "cut off":
        os.truncate(record, record.stat().st_size // 2)
    else:
        record.unlink()
    if how == "linked":
        place = tmp_path / "other"
        (folder / "distill_fp8").rename(place)
        link(folder, [place])
    flip(place / "block_2.safetensors" if how == "linked" else folder / BLOCK)
    for _ in range(2):
        with pytest.raises(WeightsError, match="block_2"):
            check_at_use(folder, preset)
    flip(place / "block_2.safetensors" if how == "linked" else folder / BLOCK)
    assert [check_at_use(folder, preset), check_at_use(folder, preset)] == [1, 0]


def test_a_download_mends_what_the_pins_refuse(
    folder: Path, preset: ModelPreset, downloads: Downloads, here_and_now: Run
) -> None:
    (folder / OURS / "manifest.json").unlink()
    flip(folder / BLOCK)
    with pytest.raises(WeightsError, match="block_2"):
        check_at_use(folder, preset)
    assert here_and_now(downloads).phase == "done"
    check_at_use(folder, preset)


def test_another_revision_that_somebody_brought_is_used_and_told(
    folder: Path, preset: ModelPreset, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / OURS / "manifest.json").unlink()
    for file in folder.rglob("*block*"):
        flip(file)
    check_at_use(folder, preset)
    assert "another revision" in caplog.text
    flip(folder / BLOCK)
    with pytest.raises(WeightsError, match="block_1"):
        check_at_use(folder, preset)


def test_files_of_which_no_hash_is_known_are_used_and_told_in_one_line(
    folder: Path, preset: ModelPreset, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / OURS / "manifest.json").unlink()
    (folder.parent / OURS / f"{MODEL}.json").unlink()
    flip(folder / BLOCK)
    assert check_at_use(folder, preset) == 0
    (line,) = [one.getMessage() for one in caplog.records if "no hash" in one.getMessage()]
    assert "block_2" in line
    assert "Wan2.1_VAE" in line


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
