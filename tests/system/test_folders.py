"""Folders that disappear while the program runs, and folders on other drives."""

import json
import logging
import os
import shutil
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from filelock import FileLock

from engine import logs
from engine.commands.main import main
from engine.doctor import host
from engine.engine import Engine
from engine.home import Home, HomeError, drive_of, free_bytes
from engine.jobs import State
from engine.store import Store, StoreError
from engine.worker.queue_lock import QueueLock
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.clipfiles import receipt, write
from tests.support.engines import running_stage
from ui.tabs.dropped import add_receipt_route

pytestmark = [
    pytest.mark.starts,
    pytest.mark.skipif(sys.platform == "win32", reason="it keeps folders in use, and links few"),
]


def leads(link: Path, target: Path) -> None:
    """Have the folder ``link`` lie at ``target``."""
    if link.is_dir() and not link.is_symlink():
        link.rmdir()
    link.symlink_to(target, target_is_directory=True)


# ---- gone -------------------------------------------------------------------------------------


@pytest.mark.reliability("a folder that disappears while the program runs")
def test_each_folder_that_goes_is_made_again(engine: Engine, ask: Ask, gate: Gate) -> None:
    engine.start(warm="scripted")
    for folder in (engine.home.clips, engine.home.trash, engine.home.logs, engine.home.cache):
        shutil.rmtree(folder)
    assert finish(engine, engine.submit(ask("after that"))).state is State.DONE
    running = engine.submit(ask(f"meanwhile {gate}"))
    wait_until(lambda: running_stage(engine) == "denoise", "denoising")
    shutil.rmtree(engine.home.clips)
    gate.open()
    assert finish(engine, running).state is State.DONE
    clip = engine.library.newest()[0]
    engine.library.trash(clip.id)
    shutil.rmtree(engine.home.clips)
    engine.library.restore(clip.id)
    assert engine.library.lies_here(engine.library.newest()[0])


@pytest.mark.reliability("a folder that disappears while the program runs")
def test_a_drive_that_isnt_there_is_told_before_anything_is_computed(
    engine: Engine, ask: Ask, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    leads(engine.home.clips, drive)
    waiting = engine.submit(ask("waits"))
    drive.rename(tmp_path / "unplugged")
    with pytest.raises(HomeError) as told:
        engine.submit(ask("refused"))
    assert str(told.value) == (
        f"{engine.home.clips} is a link to {drive}, which doesn't exist. Connect or mount that "
        f"drive, or remove the link {engine.home.clips}; Headroom then creates a folder in its "
        "place."
    )
    assert engine.folder_sync.scan().problem == told.value.text
    engine.start()
    wait_until(lambda: engine.status().waiting_for == told.value.text, "the reason")
    assert engine.jobs.get(waiting.id).state is State.QUEUED
    (tmp_path / "unplugged").rename(drive)
    assert finish(engine, waiting).state is State.DONE


@pytest.mark.reliability("a folder that disappears while the program runs")
def test_a_data_folder_that_is_moved_away_takes_nothing_with_it(engine: Engine, ask: Ask) -> None:
    engine.start(warm="scripted")
    root, away = engine.home.root, engine.home.root.with_name("away")
    first = engine.submit(ask("first"))
    finish(engine, first)
    root.rename(away)
    with pytest.raises(HomeError, match="is gone"):
        engine.submit(ask("refused"))
    with pytest.raises(StoreError, match="was moved or deleted"):
        engine.settings.set("anything", "x")
    assert engine.jobs.get(first.id).state is State.DONE, "what is known is still shown"
    assert "is gone" in str(engine.folder_sync.scan().problem)
    assert not root.exists(), "nothing makes a second one"
    away.rename(root)
    assert finish(engine, engine.submit(ask("back"))).state is State.DONE


def test_a_database_that_was_replaced_is_written_no_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "it.sqlite3")
    (tmp_path / "it.sqlite3").rename(tmp_path / "old")
    other = Store(tmp_path / "it.sqlite3")
    with pytest.raises(StoreError, match="was moved or deleted"), store.transaction():
        pass
    for opened in (store, other):
        opened.close()


def test_a_drop_needs_no_cache_of_before(engine: Engine, tmp_path: Path) -> None:
    app = FastAPI()
    add_receipt_route(app, engine)
    app.auth = app.auth_dependency = None  # type: ignore[attr-defined]
    page = TestClient(app, headers={"X-Headroom": "1"})
    clip = write(tmp_path / "it.mp4", receipt()).read_bytes()
    shutil.rmtree(engine.home.cache)
    assert page.post("/receipt", content=clip).json()["request"]["prompt"] == "a red ball"
    shutil.rmtree(engine.home.cache)
    leads(engine.home.cache, tmp_path / "nowhere")
    assert "which doesn't exist" in page.post("/receipt", content=clip).json()["refused"]


def test_a_log_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "logs" / "page.log"
    log = logging.Logger("of its own")
    handler = logs.LogFile(file)
    handler.setFormatter(logs.Form("%(message)s"))
    log.addHandler(handler)
    log.warning("one")
    shutil.rmtree(file.parent)
    log.warning("two \udce4")
    assert file.read_text() == "two \\xe4\n"
    shutil.rmtree(file.parent)
    file.parent.write_text("in the way")
    for _ in range(3):
        log.warning("lost")
    assert capsys.readouterr().err.count("can't be written") == 1
    file.parent.unlink()
    log.warning("three")
    assert file.read_text() == "three\n"
    handler.close()


# ---- other drives -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["clips", "trash"])
def test_a_clip_goes_to_the_trash_and_back_across_drives(
    engine: Engine, second_drive: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.library.folder_sync.SETTLED_SECONDS", 0.0)
    leads(getattr(engine.home, which), second_drive)
    path = write(engine.home.clips / "X.mp4", receipt())
    path.with_suffix(".jpg").write_bytes(b"a picture of the user's")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    engine.folder_sync.scan()
    clip = engine.library.newest()[0]
    data = path.read_bytes()
    engine.library.trash(clip.id)
    assert (engine.home.trash / "X.mp4").read_bytes() == data
    assert path.with_suffix(".jpg").read_bytes() == b"a picture of the user's"
    engine.library.restore(clip.id)
    assert (path.read_bytes(), list(engine.home.trash.iterdir())) == (data, [])
    assert (engine.folder_sync.scan().changed, len(engine.library.newest())) == (0, 1)


def test_space_is_that_of_the_drive_that_a_link_leads_to(
    engine: Engine, second_drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, real = engine.home, shutil.disk_usage
    monkeypatch.setattr(host, "write_speed", lambda _: 1e9)

    def usage(path: Path) -> object:
        there = Path(path).is_relative_to(second_drive)
        return real(path)._replace(free=123 * 10**9 if there else 50 * 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    leads(home.weights, second_drive)
    assert free_bytes(home.weights / "a model" / "not yet") == 123 * 10**9
    assert engine.downloads.look("scripted").free == 123 * 10**9
    assert drive_of(home.weights) == second_drive
    lines = [str(line.meaning) for line in host.disk(home, False, 0)]
    assert lines[:2] == [
        f"50.0 GB free on the drive with {home.root}.",
        f"123.0 GB free on the drive with {home.weights}.",
    ]
    home.weights.unlink()
    leads(home.weights, second_drive / "nowhere")
    assert free_bytes(home.weights / "a model") == 0
    bad = [line for line in host.disk(home, False, 0) if line.state == "bad"]
    assert [line.meaning.id for line in bad] == ["home.leads_nowhere"]


def test_a_link_to_nowhere_says_so_in_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.find()
    leads(home.clips, tmp_path / "nowhere")
    assert main(["clips", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert told["error_id"] == "home.leads_nowhere"
    assert str(home.clips) in told["remedy"]
    assert main(["generate", "a ball", "--model", "scripted"]) == 5
    assert "which doesn't exist" in capsys.readouterr().err
    home.clips.unlink()
    presets = Path(__file__).parents[1] / "fixtures/presets_weights"
    monkeypatch.setenv("HEADROOM_PRESETS", str(presets))
    leads(home.weights, tmp_path / "nowhere")
    for command in (["pull"], ["verify"], ["pull", "--from", str(tmp_path)]):
        assert main(["weights", *command, "--model", "fetched"]) == 5, command
        assert "is a link to" in capsys.readouterr().err


# ---- the lock ----------------------------------------------------------------------------------


def test_a_lock_that_is_removed_is_taken_anew(engine: Engine, ask: Ask) -> None:
    engine.start(warm="scripted")
    assert finish(engine, engine.submit(ask())).state is State.DONE
    engine.home.engine_lock.unlink()
    wait_until(engine.home.engine_lock.exists, "another lock")
    wait_until(lambda: not QueueLock(engine.home).take(), "its being held")
    assert finish(engine, engine.submit(ask())).state is State.DONE


def test_a_queue_that_another_process_took_is_left_to_it(
    engine: Engine, ask: Ask, gate: Gate
) -> None:
    engine.start(warm="scripted")
    running = engine.submit(ask(str(gate)))
    wait_until(lambda: running_stage(engine) == "denoise", "denoising")
    other, taken = engine.home.root / "other.lock", QueueLock(Home(engine.home.root / "x"))
    with FileLock(other, thread_local=False):
        other.replace(engine.home.engine_lock)
        wait_until(lambda: engine.status().state == "elsewhere", "its stepping aside")
        assert engine.status().worker_pid is None
    assert taken.still_ours(), "of a lock that nobody took there is nothing to lose"
    gate.open()
    assert finish(engine, running).state is State.DONE
