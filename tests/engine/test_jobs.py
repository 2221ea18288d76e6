"""The queue's rules, on real SQLite."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from engine import store as store_module
from engine.home import Home, HomeError
from engine.jobs import CANCELLED, TRY_SMALLER, Jobs, State, TooLate
from engine.library.library import Library, Query
from engine.store import MIGRATIONS, Store, StoreError
from engine.text import Text, plain
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
    assert jobs.get(waiting.id).note == CANCELLED


def test_final_states_are_never_left(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    jobs.claim()
    jobs.end(job.id, State.FAILED, "It failed.", "Try again.")
    jobs.end(job.id, State.DONE)
    jobs.put_back(job.id)
    assert jobs.cancel(job.id) is State.FAILED
    assert jobs.interrupted(job.id, "Gone.") is State.FAILED
    assert jobs.get(job.id).note == plain("It failed.")


def test_an_interrupted_job_is_tried_twice_and_no_more(jobs: Jobs, ask: Ask) -> None:
    job, later = jobs.add(ask()), jobs.add(ask())
    jobs.claim()
    assert jobs.interrupted(job.id, "The engine was killed.") is State.QUEUED
    assert "Retrying once" in str(jobs.get(job.id).note)
    assert jobs.claim().id == job.id, "it keeps its place"  # type: ignore[union-attr]
    assert jobs.interrupted(job.id, "The engine was killed.") is State.FAILED
    assert "happened twice" in str(jobs.get(job.id).note)
    assert jobs.get(job.id).remedy == TRY_SMALLER
    assert jobs.claim().id == later.id  # type: ignore[union-attr]


def test_a_note_outlives_its_row_as_an_id_with_values(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    jobs.claim()
    note = Text("worker.ended_by_itself", code=7)
    jobs.retry(job.id, note)
    jobs.claim()
    jobs.end(job.id, State.DONE)
    assert jobs.get(job.id).note == note, "an end without words keeps what was said before"
    assert not jobs.get(job.id).remedy


def test_a_note_of_an_older_version_stays_its_words(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask())
    with jobs.store.transaction() as db:
        db.execute("update jobs set state = 'failed', note = 'It broke.' where id = ?", (job.id,))
    assert jobs.get(job.id).note == plain("It broke.")


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
    jobs.finish(first.id, "one.mp4", receipt)  # a step that was owed is taken once more
    jobs.claim()
    with pytest.raises(sqlite3.IntegrityError):
        jobs.finish(second.id, "one.mp4", receipt)
    assert jobs.get(second.id).state is State.RUNNING
    assert [c.file for c in library.newest()] == ["one.mp4"]


def order(jobs: Jobs) -> list[str]:
    return [job.request.prompt for job in jobs.waiting()]


def test_a_waiting_job_can_change_its_place(jobs: Jobs, ask: Ask) -> None:
    a, _, c, d = (jobs.add(ask(name)) for name in "abcd")
    jobs.move(c.id, "up")
    assert order(jobs) == ["a", "c", "b", "d"]
    jobs.move(d.id, "first")
    jobs.move(d.id, "up")  # there is nothing above
    jobs.move(a.id, "last")
    jobs.move(a.id, "down")
    jobs.move(c.id, "down")
    assert order(jobs) == ["d", "b", "c", "a"]
    jobs.add(ask("e"))
    assert order(jobs)[-1] == "e", "what comes later stands behind"
    claimed = jobs.claim()
    assert claimed is not None
    assert claimed.id == d.id
    with pytest.raises(TooLate, match="no longer waiting"):
        jobs.move(d.id, "last")
    assert jobs.interrupted(d.id, "Killed.") is State.QUEUED
    assert order(jobs)[0] == "d", "it keeps its place"


def test_a_waiting_job_can_be_another(jobs: Jobs, ask: Ask) -> None:
    first, second = jobs.add(ask("a", seed=1)), jobs.add(ask("b", seed=2))
    edited = jobs.edit(first.id, ask("c", seed=-1))
    assert (edited.id, edited.request.prompt) == (first.id, "c")
    assert edited.seed >= 0, "drawn"
    assert order(jobs) == ["c", "b"]
    jobs.claim()
    with pytest.raises(TooLate):
        jobs.edit(first.id, ask("d"))
    probe = jobs.add(ask(), "probe")
    with pytest.raises(TooLate):
        jobs.edit(probe.id, ask("d"))
    assert jobs.get(second.id).request.prompt == "b"


def test_what_failed_can_be_tried_again_once(jobs: Jobs, ask: Ask) -> None:
    job = jobs.add(ask("a", seed=-1), embed=False)
    with pytest.raises(TooLate):
        jobs.again(job.id)
    jobs.claim()
    jobs.end(job.id, State.FAILED, "It failed.")
    anew = jobs.again(job.id)
    assert (anew.state, anew.seed, anew.embed) == (State.QUEUED, job.seed, False)
    assert jobs.get(job.id).state is State.FAILED, "final states are never left"
    with pytest.raises(TooLate):
        jobs.again(job.id)
    assert jobs.ended(5, State.FAILED) == [], "the old one is off the page"


def test_a_failure_stays_whatever_ends_after_it(jobs: Jobs, ask: Ask) -> None:
    for state in (State.FAILED, State.CANCELLED, *[State.DONE] * 30):
        jobs.end(jobs.claim(jobs.add(ask()).id).id, state)  # type: ignore[union-attr]
    unmade = jobs.ended(5, State.FAILED, State.CANCELLED)
    assert [job.state for job in unmade] == [State.CANCELLED, State.FAILED]
    assert [job.state for job in jobs.ended(1, State.FAILED)] == [State.FAILED]


def test_a_place_is_that_of_the_order(jobs: Jobs, ask: Ask) -> None:
    (guest,) = jobs.add_all([ask()], visitor=("v", "Ann"))
    first, second = jobs.add(ask()), jobs.add(ask())
    jobs.move(second.id, "up")
    places = [jobs.place(job.id) for job in (second, first, guest)]
    assert places == [1, 2, 3], "the owner's come before a visitor's"
    assert [job.id for job in jobs.waiting()] == [second.id, first.id, guest.id]
    jobs.claim()
    assert (jobs.place(second.id), jobs.place(first.id), jobs.place(99)) == (None, 1, None)


def test_clearing_takes_ends_off_the_page_and_cancels_what_waits(jobs: Jobs, ask: Ask) -> None:
    done, running, waiting = jobs.add(ask()), jobs.add(ask()), jobs.add(ask())
    jobs.claim()
    jobs.end(done.id, State.FAILED, "It failed.")
    jobs.claim()
    assert [job.id for job in jobs.ended(5, State.FAILED)] == [done.id]
    jobs.clear_ended()
    assert jobs.ended(5, State.FAILED) == []
    assert jobs.cancel_waiting() == 1
    assert jobs.get(waiting.id).state is State.CANCELLED
    assert jobs.get(running.id).state is State.RUNNING


def test_all_of_a_batch_or_none(jobs: Jobs, ask: Ask) -> None:
    jobs.add_all([ask("a"), ask("b")])
    assert order(jobs) == ["a", "b"]
    bad = replace(ask("c"), seed=None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        jobs.add_all([ask("d"), bad])
    assert order(jobs) == ["a", "b"]


def test_an_older_database_keeps_its_clips_and_its_order(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "older.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "MIGRATIONS", MIGRATIONS[:3])
        Store(path).close()
    request = json.dumps(ask("a red ball").to_json())
    receipt = json.dumps({"request": ask("a red ball").to_json(), "seed": 3})
    with sqlite3.connect(path) as db:
        for state in ("done", "queued"):
            db.execute(
                "insert into jobs (created, state, request, seed) values ('2026', ?, ?, 3)",
                (state, request),
            )
        db.execute(
            "insert into clips (job, created, file, receipt) values (1, '2026', 'a.mp4', ?)",
            (receipt,),
        )
    store = Store(path)
    (clip,) = Library(Home.find(), store).newest()
    assert (clip.job, clip.file, clip.request) == (1, "a.mp4", ask("a red ball"))
    assert store.rows("select width from clips")[0]["width"] == clip.request.width
    assert Library(Home.find(), store).page(Query(words="RED")).count == 1
    jobs = Jobs(store)
    jobs.add(ask("later"))
    assert order(jobs) == ["a red ball", "later"]
    store.close()


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
    with pytest.raises(StoreError, match="damaged"):
        Store(path)


def test_a_folder_that_cant_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HomeError, match="can't write"):
        Home.find()
