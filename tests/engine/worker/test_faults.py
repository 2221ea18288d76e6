"""Faults for real: after each of them the engine says what it was, and the next job succeeds."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, State
from engine.store import MIGRATIONS, Damaged, Store, StoreError
from engine.store_repair import open_store
from engine.worker.deferred import AGAIN
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.databases import damage, locked_elsewhere, settle
from tests.support.engines import running_stage
from ui.live import Live

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def next_job_succeeds(engine: Engine, ask: Ask) -> None:
    assert finish(engine, engine.submit(ask("next"))).state is State.DONE


def denoising(engine: Engine, ask: Ask, prompt: object) -> Job:
    job = engine.submit(ask(str(prompt)))
    wait_until(lambda: running_stage(engine) == "denoise", "denoising")
    return job


# ---- the worker ----------------------------------------------------------------------------


@pytest.mark.starts
@pytest.mark.reliability("the worker hung, without a sign of life")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a clip"])
def test_a_hung_worker_is_replaced(
    started: Engine,
    ask: Ask,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    busy: bool,
) -> None:
    monkeypatch.setattr("engine.worker.process.SILENCE_SECONDS", 2.5)
    wait_until(lambda: started.status().state == "ready", "loading")
    job = denoising(started, ask, gate) if busy else None
    pid = started.status().worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "hung for" in str(started.status().notice), "the notice")
    assert not psutil.pid_exists(pid)
    gate.open()
    if job is not None:
        done = finish(started, job)
        assert (done.state, done.attempts) == (State.DONE, 2)
    next_job_succeeds(started, ask)


@pytest.mark.starts
@pytest.mark.reliability("the worker ending while it is imported")
def test_a_worker_that_ends_at_import(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'spawn_main' in ' '.join(sys.orig_argv):\n    os._exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine.start()
    failed = finish(engine, engine.submit(ask()))
    assert failed.state is State.FAILED
    assert "exit code 7" in str(failed.note)
    assert failed.remedy
    monkeypatch.delenv("PYTHONPATH")
    next_job_succeeds(engine, ask)


@pytest.mark.starts
@pytest.mark.reliability("an error in any stage: encode, denoise, decode, save")
@pytest.mark.parametrize("file", [".partial-1.mp4", ".partial-1.jpg"])
def test_a_clip_that_cant_be_saved(started: Engine, ask: Ask, file: str) -> None:
    wait_until(lambda: started.status().state == "ready", "loading")
    (started.home.clips / file).mkdir()
    failed = finish(started, started.submit(ask()))
    assert failed.state is State.FAILED
    assert str(failed.note).startswith("The clip couldn't be written: ")
    next_job_succeeds(started, ask)


# ---- the disk ------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """``folder`` is a file system of its own with 64 kB; skips where that can't be had."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here; the limit on file sizes is tested")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as full:
        while True:
            full.write(bytes(4096))


@pytest.mark.starts
@pytest.mark.reliability("the disk full while a clip is written")
def test_a_full_disk_fails_the_clip_and_leaves_no_half(
    started: Engine,
    ask: Ask,
) -> None:
    wait_until(lambda: started.status().state == "ready", "loading")
    with small_disk(started.home.clips):
        filler = started.home.clips / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        failed = finish(started, started.submit(ask()))
        assert failed.state is State.FAILED
        assert "No space left" in str(failed.note)
        assert "Free some space" in str(failed.remedy)
        assert not list(started.home.clips.glob(".partial*"))
        filler.unlink()
        next_job_succeeds(started, ask)


@pytest.mark.starts
@pytest.mark.reliability("the disk full while a clip is written")
def test_a_limit_on_files_fails_the_clip_and_leaves_no_half(
    started: Engine,
    ask: Ask,
) -> None:
    wait_until(lambda: started.status().state == "ready", "loading")
    worker = psutil.Process(started.status().worker_pid)
    before = worker.rlimit(psutil.RLIMIT_FSIZE)
    worker.rlimit(psutil.RLIMIT_FSIZE, (1500, before[1]))
    failed = finish(started, started.submit(ask(frames=17, height=128, width=128)))
    assert failed.state is State.FAILED
    assert "couldn't be written: File too large" in str(failed.note)
    assert not list(started.home.clips.glob(".partial*"))
    worker.rlimit(psutil.RLIMIT_FSIZE, before)
    next_job_succeeds(started, ask)


# ---- the database --------------------------------------------------------------------------


def fill_up(store: Store) -> None:
    for count in range(10_000):
        with store.transaction() as db:
            db.execute("insert into settings values (?, ?)", (f"filler {count}", "x" * 300))


@pytest.mark.starts
@pytest.mark.reliability("the disk full while the database is written")
def test_a_full_database_keeps_the_clip_until_there_is_room(
    started: Engine,
    ask: Ask,
    gate: Gate,
) -> None:
    # Long enough that its end doesn't fit into the pages that there are.
    job, store = denoising(started, ask, f"{gate} {'x' * 1700}"), started.jobs.store
    with store.transaction() as db:
        db.execute(f"pragma max_page_count = {db.execute('pragma page_count').fetchone()[0]}")
    with pytest.raises(StoreError, match="disk is full"):
        fill_up(store)
    gate.open()
    wait_until(lambda: "disk is full" in str(started.status().notice), "the notice")
    with pytest.raises(StoreError, match="Free some space"):
        started.submit_all([ask("x" * 1500)] * 20)
    assert Live(started).state()["running"], "the page goes on"
    with store.transaction() as db:
        db.execute("pragma max_page_count = 1000000")
    done = finish(started, job)
    assert (done.state, done.attempts) == (State.DONE, 1)
    wait_until(lambda: started.status().notice == AGAIN, "the good news")
    next_job_succeeds(started, ask)
    assert len(started.library.newest()) == 2


@pytest.mark.starts
@pytest.mark.reliability("the database locked by another process")
def test_a_locked_database_is_a_sentence_and_loses_nothing(
    started: Engine,
    ask: Ask,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.store.TIMEOUT_SECONDS", 0.8)
    job, live = denoising(started, ask, gate), Live(started)
    with locked_elsewhere(started.home.database):
        with pytest.raises(StoreError, match="Another program has locked"):
            started.submit(ask())
        gate.open()
        wait_until(
            lambda: "Another program has locked" in str(started.status().notice), "the notice"
        )
        began = time.monotonic()
        assert live.state()["running"]
        assert time.monotonic() - began < 0.5, "who only looks waits for nobody"
    done = finish(started, job)
    assert (done.state, done.attempts) == (State.DONE, 1)
    assert len(started.library.newest()) == 1
    next_job_succeeds(started, ask)


@pytest.mark.starts
@pytest.mark.reliability("the database locked by another process")
def test_the_end_waits_for_no_lock(started: Engine, ask: Ask, gate: Gate) -> None:
    job = denoising(started, ask, gate)
    with locked_elsewhere(started.home.database):
        began = time.monotonic()
        started.close()
        assert time.monotonic() - began < 5
    again = Engine(started.home, started.presets, started.jobs)
    again.start()
    wait_until(lambda: again.jobs.get(job.id).attempts == 2, "the second try")
    again.cancel(job.id)
    next_job_succeeds(again, ask)
    again.close()


@pytest.mark.starts
@pytest.mark.reliability("the database damaged, while running and at the start")
def test_damage_while_running_is_told_and_mended_at_the_next_start(
    started: Engine,
    ask: Ask,
) -> None:
    made = finish(started, started.submit(ask("steps=1 kept")))
    clip = started.library.of_job(made.id)
    assert clip is not None
    damage(started.home.database)
    store = started.jobs.store
    for connection in (store._db, store._reader):
        connection.execute("pragma shrink_memory")  # forget the pages that were read before
    with pytest.raises(Damaged, match="start it again"):
        started.submit(ask())
    wait_until(lambda: "is damaged" in str(started.status().notice), "the notice")
    assert "is damaged" in str(Live(started).state()["notice"])
    started.close()
    store.close()
    settle(started.home)
    with open_engine() as again:
        kept = list(again.home.root.glob("headroom.sqlite3.damaged-*"))
        assert kept
        assert kept[0].name in str(again.status().notice)
        assert again.folder_sync.scan().added == 1
        (back,) = again.library.newest()
        assert (back.file, back.request) == (clip.file, clip.request)
        assert back.receipt["seed"] == clip.receipt["seed"]
        again.start()
        next_job_succeeds(again, ask)


@pytest.mark.reliability("the database damaged, while running and at the start")
@pytest.mark.parametrize(
    "content", [b"no database at all" * 500, b"SQLite format 3\x00" + b"U" * 9000]
)
def test_a_file_that_is_no_database_is_set_aside(content: bytes) -> None:
    home = Home.find()
    home.database.write_bytes(content)
    for count in (1, 2):
        store = open_store(home)
        assert "A copy is kept as headroom.sqlite3.damaged-" in str(store.mended)
        store.close()
        kept = [f for f in home.root.glob("*.damaged-*") if not f.name.endswith(("-wal", "-shm"))]
        assert len(kept) == count
        assert {f.read_bytes() for f in kept} == {content}
        home.database.write_bytes(content)


@pytest.mark.starts
def test_what_is_sound_newer_locked_or_in_use_is_left_alone(
    started: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = started.home
    wait_until(lambda: started.status().state == "ready", "loading")
    monkeypatch.setattr("engine.store.TIMEOUT_SECONDS", 0.5)
    store = open_store(home)
    assert store.mended is None
    store.close()
    with (
        locked_elsewhere(home.database),
        pytest.raises(StoreError, match=r"Another program|locked"),
    ):
        open_store(home)
    other = Home(home.root / "newer")
    other.create()
    Store(other.database).close()
    with sqlite3.connect(other.database) as db:
        db.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer Headroom"):
        open_store(other)
    damage(home.database)
    with pytest.raises(StoreError, match="Another running Headroom"):
        open_store(home)
    assert not list(home.root.rglob("*.damaged-*"))


# ---- the clock -----------------------------------------------------------------------------


@pytest.mark.starts
@pytest.mark.reliability("the clock set back, and ahead")
def test_the_last_job_is_the_last_though_the_clock_was_set_back(
    started: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish(started, started.submit(ask("before")))
    monkeypatch.setattr("engine.store.now", lambda: "2001-01-01T00:00:00.000+00:00")
    for count in range(2):
        last = finish(started, started.submit(ask(f"after {count}")))
        latest, clip = started.jobs.latest(), started.library.last_made()
        assert latest is not None
        assert latest.id == last.id
        assert clip is not None
        assert clip.job == last.id
        assert started.jobs.ended(1, State.DONE)[0].id == last.id


@pytest.mark.starts
@pytest.mark.reliability("the clock set back, and ahead")
@pytest.mark.parametrize("days", [400, -400])
def test_the_trash_keeps_its_promise_though_the_clock_jumps(
    started: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
) -> None:
    job = finish(started, started.submit(ask()))
    clip = started.library.of_job(job.id)
    assert clip is not None
    started.library.trash(clip.id)
    real = time.time
    monkeypatch.setattr("engine.library.library.time.time", lambda: real() + 86_400 * days)
    assert started.library.purge() == 0
    started.folder_sync.scan()
    kept = started.library.get(clip.id)
    assert kept is not None
    assert started.library.place(kept).exists()
    started.library.restore(clip.id)
    next_job_succeeds(started, ask)
