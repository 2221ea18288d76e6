"""The queue's rules, on real SQLite."""

import sqlite3
from pathlib import Path

import pytest

from engine.home import Home, HomeError
from engine.jobs import Jobs, State
from engine.library import Library
from engine.store import MIGRATIONS, Store, StoreError
from tests.conftest import Ask


def test_a_job_is_on_disk_when_add_returns(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask("a blue square", seed=5))
    other = Store(Home.find().database)
    assert Jobs(other).get(job.id) == job
    assert (job.state, job.seed, job.attempts) == (State.QUEUED, 5, 0)
    other.close()


def test_a_drawn_seed_is_recorded(jobs: Jobs, ask: Ask) -> None:
    drawn = {jobs.add(ask()).seed for _ in range(5)}
    assert len(drawn) == 5
    assert all(0 <= seed < 2**32 for seed in drawn)


def test_first_in_first_out_and_one_by_name(jobs: Jobs, ask: Ask) -> None:
    first, second, third = (jobs.add(ask(str(i))) for i in range(3))
    assert jobs.claim(only=third.id).id == third.id  # type: ignore[union-attr]
    assert jobs.claim().id == first.id  # type: ignore[union-attr]
    assert jobs.claim().id == second.id  # type: ignore[union-attr]
    assert jobs.claim() is None


def test_a_waiting_job_is_cancelled_at_once_a_running_one_is_asked(jobs: Jobs, ask: Ask) -> None:
    running, waiting = jobs.add(ask()), jobs.add(ask())
    jobs.claim()
    assert jobs.cancel(waiting.id) is State.CANCELLED
    assert jobs.cancel(running.id) is State.RUNNING
    assert jobs.get(running.id).cancel_requested


def test_final_states_are_never_left(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    jobs.claim()
    jobs.end(job.id, State.FAILED, "It failed.", "Try again.")
    jobs.end(job.id, State.DONE)
    jobs.put_back(job.id)
    assert jobs.cancel(job.id) is State.FAILED
    assert jobs.interrupted(job.id, "Gone.") is State.FAILED
    assert jobs.get(job.id).note == "It failed."


def test_an_interrupted_job_is_tried_twice_and_no_more(jobs: Jobs, ask: Ask) -> None:
    job, later = jobs.add(ask()), jobs.add(ask())
    jobs.claim()
    assert jobs.interrupted(job.id, "The engine was killed.") is State.QUEUED
    assert "tried once more" in jobs.get(job.id).note
    assert jobs.claim().id == job.id, "it keeps its place"  # type: ignore[union-attr]
    assert jobs.interrupted(job.id, "The engine was killed.") is State.FAILED
    assert "happened twice" in jobs.get(job.id).note
    assert jobs.get(job.id).remedy
    assert jobs.claim().id == later.id  # type: ignore[union-attr]


def test_closing_the_program_counts_no_attempt(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    for _ in range(5):
        jobs.claim()
        jobs.put_back(job.id)
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == (State.QUEUED, 0)


def test_an_interrupted_cancel_stays_cancelled(jobs: Jobs, ask: Ask) -> None:
    for settle in (lambda job: jobs.interrupted(job, "Killed."), jobs.put_back):
        job = jobs.add(ask())
        jobs.claim()
        jobs.cancel(job.id)
        settle(job.id)
        assert jobs.get(job.id).state is State.CANCELLED


def test_a_clip_and_its_jobs_end_are_one_transaction(jobs: Jobs, ask: Ask) -> None:
    first, second = jobs.add(ask()), jobs.add(ask())
    jobs.claim()
    receipt = {"request": first.request.to_json(), "seed": first.seed, "stages": {}}
    jobs.finish(first.id, "one.mp4", receipt)
    library = Library(Home.find(), jobs.store)
    clip = library.of_job(first.id)
    assert clip is not None
    assert (clip.file, clip.receipt) == ("one.mp4", receipt)
    assert library.get(clip.id) == clip
    jobs.claim()
    with pytest.raises(sqlite3.IntegrityError):
        jobs.finish(second.id, "one.mp4", receipt)
    assert jobs.get(second.id).state is State.RUNNING
    assert [c.file for c in library.newest()] == ["one.mp4"]


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite3"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer Headroom"):
        Store(path)
    with sqlite3.connect(path) as db:
        assert db.execute("pragma user_version").fetchone()[0] == len(MIGRATIONS) + 1


def test_a_damaged_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.sqlite3"
    path.write_bytes(b"this is no database, whatever its name says " * 100)
    with pytest.raises(StoreError, match="can't be opened"):
        Store(path)


def test_a_folder_that_cant_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HomeError, match="can't write"):
        Home.find()
