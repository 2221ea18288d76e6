"""The one SQLite file that is the truth: jobs and clips, with numbered migrations."""

import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import HeadroomError


class StoreError(HeadroomError):
    """The database can't be opened or is from a newer program."""


Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: list[Migration] = []


def migration(function: Migration) -> Migration:
    """Register the next migration; its place in this file is its number."""
    MIGRATIONS.append(function)
    return function


@migration
def m001_jobs_and_clips(db: sqlite3.Connection) -> None:
    db.execute("""
        create table jobs (
            id integer primary key autoincrement,
            created text not null,
            started text,
            ended text,
            state text not null
                check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
            request text not null,
            seed integer not null,
            attempts integer not null default 0,
            cancel_requested integer not null default 0,
            note text not null default '',
            remedy text not null default ''
        )""")
    db.execute("create index jobs_by_state on jobs (state, id)")
    db.execute("""
        create table clips (
            id integer primary key autoincrement,
            job integer not null unique references jobs (id),
            created text not null,
            file text not null unique,
            receipt text not null
        )""")


@migration
def m002_measurements(db: sqlite3.Connection) -> None:
    db.execute("alter table jobs add column kind text not null default 'clip'")
    db.execute("""
        create table measurements (
            id integer primary key autoincrement,
            created text not null,
            job integer references jobs (id),
            kind text not null check (kind in ('clip', 'probe')),
            model text not null,
            fingerprint text not null,
            height integer not null,
            width integer not null,
            frames integer not null,
            outcome text not null
                check (outcome in ('ok', 'out_of_memory', 'over_budget', 'failed')),
            peaks text not null,
            seconds text not null,
            budget integer not null
        )""")
    db.execute("create index measurements_by_model on measurements (model, fingerprint, id)")


@migration
def m003_choices(db: sqlite3.Connection) -> None:
    db.execute("""
        create table choices (
            model text not null,
            name text not null,
            value text not null,
            reason text not null,
            source text not null check (source in ('user', 'engine')),
            facts text not null,
            created text not null,
            primary key (model, name, source)
        )""")


@migration
def m004_queue_library_settings(db: sqlite3.Connection) -> None:
    # Where a job stands in the queue; whether its MP4 shall hold the receipt; whether its end has
    # been cleared from the page; and, while a whole clip moves into the library, its name and
    # receipt, so that a crash in between loses neither (Jobs.made).
    db.execute("alter table jobs add column place integer not null default 0")
    db.execute("alter table jobs add column embed integer not null default 1")
    db.execute("alter table jobs add column cleared integer not null default 0")
    db.execute("alter table jobs add column made text")
    db.execute("update jobs set place = id")
    # Clips that came by hand have no job; what the library searches has columns of its own.
    db.execute("""
        create table library (
            id integer primary key autoincrement,
            job integer unique references jobs (id),
            created text not null,
            file text not null unique,
            receipt text not null,
            prompt text not null,
            model text not null,
            height integer not null,
            width integer not null,
            frames integer not null,
            favourite integer not null default 0,
            trashed text,
            missing integer not null default 0
        )""")
    db.execute("""
        insert into library (id, job, created, file, receipt, prompt, model, height, width, frames)
        select id, job, created, file, receipt, receipt ->> '$.request.prompt',
            receipt ->> '$.request.model', receipt ->> '$.request.height',
            receipt ->> '$.request.width', receipt ->> '$.request.frames'
        from clips""")
    db.execute("drop table clips")
    db.execute("alter table library rename to clips")
    db.execute("create index clips_by_time on clips (trashed, missing, created, id)")
    db.execute("create table settings (name text primary key, value text not null)")


@migration
def m005_visitors(db: sqlite3.Connection) -> None:
    # Whose job it is: "" is the owner's, else what the share drew for a visitor, and the name that
    # the visitor gave.
    db.execute("alter table jobs add column visitor text not null default ''")
    db.execute("alter table jobs add column visitor_name text not null default ''")


def folded(text: str) -> str:
    """``text`` without what a search overlooks."""
    return unicodedata.normalize("NFC", text).casefold()


def has_words(text: str, words: str) -> bool:
    """Whether all of ``words``, ``folded`` already, are in ``text``: a function of our own in SQL,
    because ``like`` knows no case but ASCII's, and signs that mean something."""
    text = folded(text)
    return all(word in text for word in words.split())


class Store:
    """One connection, shared by the threads of a process; other processes may share the file."""

    def __init__(self, path: Path) -> None:
        """Open the database at ``path``, made or brought up to date.

        Raises:
            StoreError: with the remedy.
        """
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.create_function("has_words", 2, has_words, deterministic=True)
            self._db.execute("pragma journal_mode = wal")
            # A job is acknowledged only once it would survive a power cut.
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma foreign_keys = on")
            self._migrate(path)
        except sqlite3.Error as error:
            raise StoreError(
                f"The database {path} can't be opened: {error}.",
                "If another program holds it, close that; else move the file away and start again.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; the write lock is taken at once, so that no reader turns writer late."""
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, parameters).fetchall()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _migrate(self, path: Path) -> None:
        with self.transaction() as db:
            version = db.execute("pragma user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"The database {path} was made by a newer Headroom (format {version}, "
                    f"this one knows {len(MIGRATIONS)}).",
                    "Update Headroom, or set HEADROOM_HOME to another folder.",
                )
            for number, step in enumerate(MIGRATIONS[version:], version + 1):
                step(db)
                db.execute(f"pragma user_version = {number}")
