"""The queue: jobs in SQLite, written before they are acknowledged, in an order that can change."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from engine.errors import ExitCode, HeadroomError
from engine.home import Home
from engine.library.files import UNKNOWN, Identity
from engine.library.follow_up import FollowUp, from_text
from engine.library.library import add_clip
from engine.open_shares import OpenShares
from engine.pause import UNLESS_PAUSED, Pause
from engine.request import ClipRequest, Kind
from engine.store import Store, now
from engine.text import NOTHING, Said, Text, from_row, joined, to_row

# The owner's jobs come first, whatever the places say.
ORDER = "visitor != '', place, id"
MAX_ATTEMPTS = 2  # a job that took the worker down twice would do so for ever
CANCELLED = Text("jobs.cancelled")
CANCEL = "update jobs set state = 'cancelled', ended = ?, note = ? where state = 'queued'"
TRY_SMALLER = Text("jobs.try_smaller")

Move = Literal["first", "up", "down", "last"]


class TooLate(HeadroomError):
    """The job isn't waiting any more, or not ended yet."""

    exit_code = ExitCode.BAD_INPUT


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
    """One row of the queue. ``note`` says what happened to it, ``remedy`` what to do about it.

    ``embed``: whether the MP4 shall hold the receipt. ``visitor`` is "" for the owner's own.
    ``lane``: who makes it, or made it or tried last; ``wanted``: who shall, "" for whoever can.
    ``errand``: the key under which another machine asked for it, which calls this one ``machine``.
    ``follows``: what is queued once its clip is kept.
    """

    id: int
    created: str
    started: str | None
    ended: str | None
    state: State
    request: ClipRequest
    seed: int
    attempts: int
    cancel_requested: bool
    note: Text
    remedy: Text
    kind: Kind
    embed: bool = True
    visitor: str = ""
    visitor_name: str = ""
    lane: str = ""
    wanted: str = ""
    errand: str = ""
    machine: str = ""
    follows: FollowUp | None = None


class Jobs:
    """The queue's verbs. Each is one transaction; final states are never left."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.shares = OpenShares(Home(store.path.parent))
        self.pause = Pause(store)

    def add(
        self, request: ClipRequest, kind: Kind = "clip", embed: bool = True, wanted: str = ""
    ) -> Job:
        """Queue ``request``, a clip or a probe of its size.

        A seed of -1 is drawn here, so that a retry makes the same clip.
        """
        return self.add_all([request], kind, embed, wanted=wanted)[0]

    def add_all(
        self,
        requests: Sequence[ClipRequest],
        kind: Kind = "clip",
        embed: bool = True,
        visitor: tuple[str, str] = ("", ""),
        wanted: str = "",
        follows: Sequence[FollowUp | None] = (),
    ) -> list[Job]:
        """Queue all of them, in this order, or none.

        Args:
            visitor: id and name of whoever isn't the owner: such jobs run after the owner's.
            wanted: the lane that shall make them; "" for whichever can.
            follows: what follows each by itself.
        """
        each = follows or [None] * len(requests)
        with self.store.transaction() as db:
            return [
                add_row(db, request, kind, embed, visitor, wanted, then)
                for request, then in zip(requests, each, strict=True)
            ]

    def get(self, job: int) -> Job:
        return _job(self.store.rows("select * from jobs where id = ?", (job,))[0])

    def has(self, job: int) -> bool:
        if not 0 < job < 2**63:  # SQLite's integers end there
            return False
        return bool(self.store.rows("select 1 from jobs where id = ?", (job,)))

    def waiting(self, limit: int = -1) -> list[Job]:
        """In the order in which they will run; all of them without a ``limit``."""
        return self.where(f"state = 'queued' order by {ORDER} limit ?", limit)

    def place(self, job: int) -> int | None:
        """Where a waiting job stands, 1 being next; None for one that doesn't wait."""
        rows = self.store.rows(
            f"select nth from (select id, row_number() over (order by {ORDER}) as nth from jobs"
            " where state = 'queued') where id = ?",
            (job,),
        )
        return int(rows[0]["nth"]) if rows else None

    def count_waiting(self) -> int:
        rows = self.store.rows("select count(*) as count from jobs where state = 'queued'")
        return int(rows[0]["count"])

    def running(self, lane: str | None = None) -> Job | None:
        """What is made now: in ``lane``, or in whichever the one that began first."""
        which = "state = 'running' and coalesce(?, lane) = lane order by started, id limit 1"
        return next(iter(self.where(which, lane)), None)

    def all_running(self) -> list[Job]:
        """What every lane makes now, in the order in which it was begun."""
        return self.where("state = 'running' order by started, id")

    def latest(self) -> Job | None:
        """The job that ended last."""
        return next(
            iter(self.where("ended is not null order by ended desc, id desc limit 1")), None
        )

    def recent(self, limit: int = 200) -> list[Job]:
        """The newest, in whatever state."""
        return self.where("true order by id desc limit ?", limit)

    def where(self, which: str, *values: object) -> list[Job]:
        """Those for which the SQL condition ``which`` holds; an order may follow it."""
        rows = self.store.rows(f"select * from jobs where {which}", values)
        return [_job(row) for row in rows]

    def claim(self, only: int | None = None, lane: str = "") -> Job | None:
        """Move the first waiting job (or just ``only``) to running, in ``lane``, and return it.

        A visitor's job is left where it is unless the share that they came through is open. While
        the queue is paused all of them are."""
        with self.store.transaction() as db:
            visitors = db.execute("select distinct visitor from jobs where state = 'queued'")
            inside = [visitor for (visitor,) in visitors if self.shares.has(visitor)]
            row = db.execute(
                "update jobs set state = 'running', started = :now, attempts = attempts + 1,"
                " made = null, lane = :lane "
                f"where id = (select id from jobs where state = 'queued' and {UNLESS_PAUSED} "
                "and (visitor = '' or visitor in (select value from json_each(:inside))) "
                f"and (:only is null or id = :only) order by {ORDER} limit 1) returning *",
                {"now": now(), "only": only, "lane": lane, "inside": json.dumps(inside)},
            ).fetchone()
        return _job(row) if row else None

    def cancel(self, job: int) -> State:
        """Cancel a waiting job at once, or ask for a running one to stop; returns its state."""
        with self.store.transaction() as db:
            _cancel(db, job)
        return self.get(job).state

    def end(self, job: int, state: State, note: Said = NOTHING, remedy: Said = NOTHING) -> None:
        """Give a running job its final state."""
        with self.store.transaction() as db:
            end_row(db, job, state, note, remedy)

    def made(self, job: int, file: str, receipt: dict[str, Any], digest: str | None = None) -> None:
        """The whole clip, of that SHA-256, is about to be renamed to ``file``; a crash after this
        finds it again."""
        kept = json.dumps({"file": file, "receipt": receipt, "digest": digest}, ensure_ascii=False)
        with self.store.transaction() as db:
            db.execute("update jobs set made = ? where id = ? and state = 'running'", (kept, job))

    def half_kept(self, job: int) -> tuple[str, dict[str, Any], str | None] | None:
        """What ``made`` wrote: the file's name, the receipt, and the digest since there is one."""
        kept = self.store.rows("select made from jobs where id = ?", (job,))[0]["made"]
        if kept is None:
            return None
        made = json.loads(kept)
        return made["file"], made["receipt"], made.get("digest")

    def names_a_clip(self, file: str) -> bool:
        """Whether a clip has this name already, be it in the trash or missing."""
        return bool(self.store.rows("select 1 from clips where file = ?", (file,)))

    def finish(
        self, job: int, file: str, receipt: dict[str, Any], identity: Identity = UNKNOWN
    ) -> None:
        """The clip lies in the clips folder as ``file``: row, final state and what follows by
        itself in one transaction. Nothing happens once it has ended: whoever owes this step may
        take it twice."""
        with self.store.transaction() as db:
            unfinished = "select * from jobs where id = ? and state in ('queued', 'running')"
            if row := db.execute(unfinished, (job,)).fetchone():
                add_clip(db, job, now(), file, receipt, identity)
                end_row(db, job, State.DONE, NOTHING, NOTHING)
                then = from_text(row["follows"])
                asked = then and identity.digest and then.request(receipt, identity.digest)
                if asked:
                    add_row(db, asked, "clip", bool(row["embed"]))

    def interrupted(self, job: int, what: Said, remedy: Said = TRY_SMALLER) -> State:
        """A running job lost its worker: queue it once more, or give it up with the reason.

        Args:
            remedy: what to do once it is given up.

        Returns:
            queued (it keeps its place, so it is next), cancelled or failed.
        """
        if self.retry(job, joined(what, Text("jobs.tried_once_more"))):
            return State.QUEUED
        found = self.get(job)
        if found.cancel_requested:
            self.end(job, State.CANCELLED, CANCELLED)
        elif not found.state.final:
            self.end(job, State.FAILED, joined(what, Text("jobs.given_up")), remedy)
        return self.get(job).state

    def retry(self, job: int, note: Said) -> bool:
        """Queue a running job once more; False if it has had its tries, or was cancelled."""
        with self.store.transaction() as db:
            queued = db.execute(
                "update jobs set state = 'queued', started = null, note = ? where id = ?"
                " and state = 'running' and not cancel_requested and attempts < ?",
                (to_row(note), job, MAX_ATTEMPTS),
            )
            return queued.rowcount == 1

    def put_back(self, job: int, note: Said = NOTHING) -> None:
        """The program closes, or pauses at once, or another machine has gone: the running job
        waits again, and that was no try of it."""
        with self.store.transaction() as db:
            db.execute(
                "update jobs set state = 'queued', started = null, attempts = attempts - 1,"
                " note = coalesce(nullif(?, ''), note)"
                " where id = ? and state = 'running' and not cancel_requested",
                (to_row(note), job),
            )
            end_row(db, job, State.CANCELLED, CANCELLED, NOTHING)

    # ---- order ---------------------------------------------------------------------------

    def move(self, job: int, where: Move) -> None:
        """Change a waiting job's place; at the queue's end nothing happens.

        Raises:
            TooLate: it isn't waiting any more.
        """
        with self.store.transaction() as db:
            rows = db.execute(
                "select id, place from jobs where state = 'queued' and visitor ="
                f" (select visitor from jobs where id = ?) order by {ORDER}",
                (job,),
            ).fetchall()
            order = [row["id"] for row in rows]
            if job not in order:
                raise too_late(job)
            at = order.index(job)
            order.insert(
                {"first": 0, "up": max(0, at - 1), "down": at + 1, "last": len(order)}[where],
                order.pop(at),
            )
            # Places are ids to begin with: a job that comes later stands behind all of these.
            places = sorted(row["place"] for row in rows)
            for number, place in zip(order, places, strict=True):
                db.execute("update jobs set place = ? where id = ?", (place, number))

    def edit(self, job: int, request: ClipRequest) -> Job:
        """Make a waiting job another request; it keeps its place.

        Raises:
            TooLate: it isn't waiting any more.
        """
        with self.store.transaction() as db:
            row = db.execute(
                "update jobs set request = ?, seed = ?, attempts = 0, note = ''"
                " where id = ? and state = 'queued' and kind = 'clip' and errand = '' returning *",
                (_text(request), request.drawn_seed(), job),
            ).fetchone()
        if row is None:
            raise too_late(job)
        return _job(row)

    # ---- what has ended ------------------------------------------------------------------

    def again(self, job: int) -> Job:
        """Queue what failed or was cancelled anew, with the same seed; the old row is cleared.

        Raises:
            TooLate: it hasn't ended so, or was queued again already.
        """
        with self.store.transaction() as db:
            row = db.execute(
                "update jobs set cleared = 1 where id = ? and not cleared"
                " and state in ('failed', 'cancelled') returning *",
                (job,),
            ).fetchone()
            if row is None:
                raise TooLate(Text("jobs.not_again", job=job), Text("jobs.queue_changed"))
            old = _job(row)
            again = replace(old.request, seed=old.seed)
            return add_row(db, again, old.kind, old.embed, wanted=old.wanted, follows=old.follows)

    def of_visitor(self, visitor: str, limit: int = 50) -> list[Job]:
        """A visitor's own jobs, the newest first."""
        return self.where("visitor = ? and visitor != '' order by id desc limit ?", visitor, limit)

    def is_stray(self, job: Job) -> bool:
        """Whether it is a visitor's, and the share that they came through is over."""
        return job.visitor != "" and not self.shares.has(job.visitor)

    def cancel_strays(self) -> bool:
        """``cancel`` visitors' jobs whose share is over; returns whether there were some."""
        if not self.unfinished_of_visitors():
            return False  # without waiting for whoever holds the database
        with self.store.transaction() as db:
            strays = [job for job in self.unfinished_of_visitors() if self.is_stray(job)]
            for job in strays:
                _cancel(db, job.id)
        return bool(strays)

    def unfinished_of_visitors(self) -> list[Job]:
        """What visitors have waiting or running."""
        return self.where("state in ('queued', 'running') and visitor != ''")

    def ended(self, limit: int, *states: State) -> list[Job]:
        """What of the owner's ended last in one of ``states`` and wasn't cleared, newest first."""
        return self.where(
            f"state in ({', '.join('?' * len(states))}) and not cleared and visitor = ''"
            " order by ended desc, id desc limit ?",
            *states,
            limit,
        )

    def clear_ended(self) -> None:
        """Take what has ended off the page; clips and measurements stay."""
        with self.store.transaction() as db:
            db.execute("update jobs set cleared = 1 where ended is not null")

    def cancel_waiting(self) -> int:
        """Cancel all that waits; returns how many. What runs goes on."""
        with self.store.transaction() as db:
            return db.execute(CANCEL, (_ended(db), to_row(CANCELLED))).rowcount


def add_row(
    db: sqlite3.Connection,
    request: ClipRequest,
    kind: Kind,
    embed: bool,
    visitor: tuple[str, str] = ("", ""),
    wanted: str = "",
    follows: FollowUp | None = None,
) -> Job:
    """``Jobs.add_all`` of one, within the caller's transaction."""
    row = db.execute(
        "insert into jobs (created, state, request, seed, kind, embed, visitor, visitor_name,"
        " wanted, follows) values (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) returning *",
        (
            now(),
            _text(request),
            request.drawn_seed(),
            kind,
            embed,
            *visitor,
            wanted,
            follows.to_row() if follows else "",
        ),
    ).fetchone()
    db.execute("update jobs set place = id where id = ?", (row["id"],))
    return _job(row)


def _text(request: ClipRequest) -> str:
    return json.dumps(request.to_json(), ensure_ascii=False)


def too_late(job: int) -> TooLate:
    return TooLate(Text("jobs.not_waiting", job=job), Text("jobs.begun_or_ended"))


def end_row(db: sqlite3.Connection, job: int, state: State, note: Said, remedy: Said) -> None:
    """``Jobs.end`` within the caller's transaction."""
    db.execute(
        "update jobs set state = ?, ended = ?, note = coalesce(nullif(?, ''), note),"
        " remedy = ? where id = ? and state = 'running'",
        (state.value, _ended(db), to_row(note), to_row(remedy), job),
    )


def _cancel(db: sqlite3.Connection, job: int) -> None:
    db.execute(f"{CANCEL} and id = ?", (_ended(db), to_row(CANCELLED), job))
    db.execute("update jobs set cancel_requested = 1 where id = ? and state = 'running'", (job,))


def _ended(db: sqlite3.Connection) -> str:
    """Now, but later than every other end: what ended last stays so where the clock was set back,
    and the page shows that one."""
    at, last = now(), db.execute("select max(ended) from jobs").fetchone()[0]
    if last is not None and at <= last:
        later = datetime.fromisoformat(last) + timedelta(milliseconds=1)
        at = later.isoformat(timespec="milliseconds")
    return at


def _job(row: sqlite3.Row) -> Job:
    values = {field.name: row[field.name] for field in fields(Job)}
    values["state"] = State(values["state"])
    values["request"] = ClipRequest.from_json(json.loads(values["request"]))
    values["cancel_requested"] = bool(values["cancel_requested"])
    values["embed"] = bool(values["embed"])
    values["follows"] = from_text(values["follows"])
    values["note"], values["remedy"] = from_row(row["note"]), from_row(row["remedy"])
    return Job(**values)
