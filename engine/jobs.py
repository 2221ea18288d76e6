"""The queue: jobs in SQLite, first in first out, written before they are acknowledged."""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from engine.request import RANDOM_SEED, SEED_LIMIT, ClipRequest
from engine.store import Store

MAX_ATTEMPTS = 2  # a job that took the worker down twice would do so for ever


Kind = Literal["clip", "probe"]


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Job:
    """One row of the queue. ``note`` says what happened to it, ``remedy`` what to do about it."""

    id: int
    created: str
    started: str | None
    ended: str | None
    state: State
    request: ClipRequest
    seed: int
    attempts: int
    cancel_requested: bool
    note: str
    remedy: str
    kind: Kind


@dataclass(frozen=True)
class Clip:
    """A finished clip: ``file`` is its name in the clips folder."""

    id: int
    job: int
    created: str
    file: str
    receipt: dict[str, Any]

    @property
    def request(self) -> ClipRequest:
        return ClipRequest(**self.receipt["request"])


def now() -> str:
    """UTC, to the millisecond, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Jobs:
    """The queue's verbs. Each is one transaction; final states are never left."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, request: ClipRequest, kind: Kind = "clip") -> Job:
        """Queue ``request``, a clip or a probe of its size.

        A seed of -1 is drawn here, so that a retry makes the same clip.
        """
        seed = secrets.randbelow(SEED_LIMIT) if request.seed == RANDOM_SEED else request.seed
        with self.store.transaction() as db:
            row = db.execute(
                "insert into jobs (created, state, request, seed, kind) "
                "values (?, 'queued', ?, ?, ?) returning *",
                (now(), json.dumps(request.to_json(), ensure_ascii=False), seed, kind),
            ).fetchone()
        return _job(row)

    def get(self, job: int) -> Job:
        return _job(self.store.rows("select * from jobs where id = ?", (job,))[0])

    def waiting(self) -> list[Job]:
        rows = self.store.rows("select * from jobs where state = 'queued' order by id")
        return [_job(row) for row in rows]

    def running(self) -> Job | None:
        rows = self.store.rows("select * from jobs where state = 'running' order by id limit 1")
        return _job(rows[0]) if rows else None

    def latest(self) -> Job | None:
        """The job that ended last."""
        rows = self.store.rows(
            "select * from jobs where ended is not null order by ended desc, id desc limit 1"
        )
        return _job(rows[0]) if rows else None

    def claim(self, only: int | None = None) -> Job | None:
        """Move the oldest waiting job (or just ``only``) to running and return it."""
        with self.store.transaction() as db:
            row = db.execute(
                "update jobs set state = 'running', started = :now, attempts = attempts + 1 "
                "where id = (select id from jobs where state = 'queued' "
                "and (:only is null or id = :only) order by id limit 1) returning *",
                {"now": now(), "only": only},
            ).fetchone()
        return _job(row) if row else None

    def cancel(self, job: int) -> State:
        """Cancel a waiting job at once, or ask for a running one to stop; returns its state."""
        with self.store.transaction() as db:
            db.execute(
                "update jobs set state = 'cancelled', ended = ?, note = 'Cancelled.' "
                "where id = ? and state = 'queued'",
                (now(), job),
            )
            db.execute(
                "update jobs set cancel_requested = 1 where id = ? and state = 'running'", (job,)
            )
        return self.get(job).state

    def end(self, job: int, state: State, note: str = "", remedy: str = "") -> None:
        """Give a running job its final state."""
        with self.store.transaction() as db:
            _end(db, job, state, note, remedy)

    def finish(self, job: int, file: str, receipt: dict[str, Any]) -> Clip:
        """The clip lies in the clips folder as ``file``: row and final state in one transaction."""
        with self.store.transaction() as db:
            row = db.execute(
                "insert into clips (job, created, file, receipt) values (?, ?, ?, ?) returning *",
                (job, now(), file, json.dumps(receipt, ensure_ascii=False)),
            ).fetchone()
            _end(db, job, State.DONE, "", "")
        return _clip(row)

    def interrupted(
        self,
        job: int,
        what: str,
        remedy: str = "Try a smaller size or fewer seconds; the other jobs go on.",
    ) -> State:
        """A running job lost its worker: queue it once more, or give it up with the reason.

        Args:
            remedy: what to do once it is given up.

        Returns:
            queued (it keeps its place, so it is next), cancelled or failed.
        """
        found = self.get(job)
        if found.cancel_requested:
            self.end(job, State.CANCELLED, "Cancelled.")
        elif found.attempts >= MAX_ATTEMPTS:
            self.end(
                job,
                State.FAILED,
                f"{what} It happened twice, so this clip was given up.",
                remedy,
            )
        else:
            with self.store.transaction() as db:
                db.execute(
                    "update jobs set state = 'queued', started = null, note = ? "
                    "where id = ? and state = 'running'",
                    (f"{what} It is tried once more.", job),
                )
        return self.get(job).state

    def retry(self, job: int, note: str) -> bool:
        """Queue a running job once more; False if it has had its tries, or was cancelled."""
        with self.store.transaction() as db:
            queued = db.execute(
                "update jobs set state = 'queued', started = null, note = ? where id = ?"
                " and state = 'running' and not cancel_requested and attempts < ?",
                (note, job, MAX_ATTEMPTS),
            )
            return queued.rowcount == 1

    def put_back(self, job: int) -> None:
        """The program was closed: the running job waits again, and no attempt is counted."""
        with self.store.transaction() as db:
            db.execute(
                "update jobs set state = 'queued', started = null, attempts = attempts - 1 "
                "where id = ? and state = 'running' and not cancel_requested",
                (job,),
            )
            _end(db, job, State.CANCELLED, "Cancelled.", "")

    def clips(self, limit: int = 1000) -> list[Clip]:
        """Newest first."""
        rows = self.store.rows("select * from clips order by id desc limit ?", (limit,))
        return [_clip(row) for row in rows]

    def clip(self, number: int) -> Clip | None:
        rows = self.store.rows("select * from clips where id = ?", (number,))
        return _clip(rows[0]) if rows else None

    def clip_of(self, job: int) -> Clip | None:
        rows = self.store.rows("select * from clips where job = ?", (job,))
        return _clip(rows[0]) if rows else None


def _end(db: sqlite3.Connection, job: int, state: State, note: str, remedy: str) -> None:
    db.execute(
        "update jobs set state = ?, ended = ?, note = coalesce(nullif(?, ''), note), remedy = ? "
        "where id = ? and state = 'running'",
        (state.value, now(), note, remedy, job),
    )


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["state"] = State(values["state"])
    values["request"] = ClipRequest(**json.loads(values["request"]))
    values["cancel_requested"] = bool(values["cancel_requested"])
    return Job(**values)


def _clip(row: sqlite3.Row) -> Clip:
    values = dict(row)
    values["receipt"] = json.loads(values["receipt"])
    return Clip(**values)
