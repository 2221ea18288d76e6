"""The one SQLite file that is the truth: jobs and clips, with numbered migrations."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.errors import HeadroomError
from engine.letters import folded
from engine.process.patience import WakingClock
from engine.text import Text

TURN_SECONDS = 0.5  # SQLite waits so long at a time: a program that ends can't wait longer
TIMEOUT_SECONDS = 10.0  # how long another process may hold the database before we say so


class StoreError(HeadroomError):
    """The database can't be opened, read or written now, or is from a newer program."""


class Damaged(StoreError):
    """What SQLite finds in the file is no sound database (``store_repair.py`` makes a new one)."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


@migration
def m006_lanes(db: sqlite3.Connection) -> None:
    # The device that made the job, or makes it: "" of a job that never began, or of before.
    db.execute("alter table jobs add column lane text not null default ''")


@migration
def m007_files(db: sqlite3.Connection) -> None:
    # What tells a clip's file from another of its name: its time and size ("NANOSECONDS BYTES"),
    # and its SHA-256 where that is known. Rows of before learn the first when they are looked at.
    db.execute("alter table clips add column stamp text")
    db.execute("alter table clips add column digest text")


@migration
def m008_search(db: sqlite3.Connection) -> None:
    # The prompt as a search compares it: folding 10,000 of them at each letter takes seconds.
    db.execute("alter table clips add column folded text not null default ''")
    prompts = db.execute("select id, prompt from clips").fetchall()
    db.executemany(
        "update clips set folded = ? where id = ?",
        [(folded(prompt or ""), number) for number, prompt in prompts],
    )


@migration
def m009_several_lanes(db: sqlite3.Connection) -> None:
    # The lane that somebody named for a job; "" leaves it to the engine.
    db.execute("alter table jobs add column wanted text not null default ''")
    # What was learnt of one card stands beside what was learnt of another.
    db.execute("""
        create table learned (
            model text not null,
            name text not null,
            value text not null,
            reason text not null,
            source text not null check (source in ('user', 'engine')),
            facts text not null,
            created text not null,
            primary key (model, name, source, facts)
        )""")
    db.execute("insert into learned select * from choices")
    db.execute("drop table choices")
    db.execute("alter table learned rename to choices")


@migration
def m010_errands(db: sqlite3.Connection) -> None:
    # Of a job that another machine asked for: under which key, and what it calls this machine.
    db.execute("alter table jobs add column errand text not null default ''")
    db.execute("alter table jobs add column machine text not null default ''")
    db.execute("create index jobs_errand on jobs (errand) where errand != ''")


@migration
def m011_what_follows(db: sqlite3.Connection) -> None:
    # What is queued by itself once the job's clip is kept, as JSON; "" for nothing.
    db.execute("alter table jobs add column follows text not null default ''")
    # The page asks for a clip's versions whenever it shows one.
    db.execute(
        "create index clips_source on clips (receipt ->> '$.request.source')"
        " where receipt ->> '$.request.source' is not null"
    )


@migration
def m012_families(db: sqlite3.Connection) -> None:
    # The SHA-256 of the clip that another version is one of in the end, whether that clip is here
    # or not; null of what is no version. The database keeps it itself, because clips come in any
    # order, and get their digests in several places.
    db.execute("alter table clips add column family text")
    db.execute("drop index clips_source")
    db.execute("create index clips_by_digest on clips (digest)")
    # With what the grid asks besides: it looks in here for each clip.
    db.execute(
        "create index clips_by_family on clips"
        " (coalesce(family, digest), trashed, missing, created)"
    )
    # The plus: what is compared with a column as such isn't looked up in that index.
    take_along = (
        "update clips set family = (select family from clips where id = {0})"
        " where coalesce(family, digest) = (select +digest from clips where id = {0})"
        " and family is not null and (select family from clips where id = {0}) is not null"
    ).format
    db.execute(
        "create trigger clips_come after insert on clips begin"
        " update clips set family = coalesce((select source.family from clips source where"
        " source.digest = new.receipt ->> '$.request.source' and source.family is not null),"
        " new.receipt ->> '$.request.source') where id = new.id;"
        f" {take_along('new.id')}; end"
    )
    db.execute(
        "create trigger clips_are_learned after update of digest on clips begin"
        f" {take_along('new.id')}; end"
    )
    db.execute("update clips set family = receipt ->> '$.request.source'")
    for row in db.execute("select id from clips where family is not null order by id").fetchall():
        db.execute(take_along("?1"), row)


def explained(error: sqlite3.Error, path: Path) -> StoreError | None:
    """What an error of SQLite's means to whoever sits here; None for a fault of the program."""
    code = getattr(error, "sqlite_errorcode", None)
    match code & 0xFF if code is not None else None:  # above are extended codes
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Damaged(
                Text("store.damaged", file=path.name, why=str(error)),
                Text("store.restart_to_mend"),
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                Text("store.busy", file=path.name, seconds=TIMEOUT_SECONDS),
                Text("store.close_what_holds_it"),
            )
        case sqlite3.SQLITE_FULL:
            return StoreError(
                Text("store.disk_full", file=path.name),
                Text("store.free_space", folder=str(path.resolve().parent)),
            )
        case (
            sqlite3.SQLITE_READONLY
            | sqlite3.SQLITE_IOERR
            | sqlite3.SQLITE_CANTOPEN
            | sqlite3.SQLITE_PERM
        ):
            return StoreError(
                Text("store.out_of_reach", file=path.name, why=str(error)),
                Text("store.check_drive", folder=str(path.resolve().parent)),
            )
    return None


class Store:
    """One connection, shared by the threads of a process; other processes may share the file.

    A second one reads while the first waits to write: where another process holds the file for
    long, the page goes on showing what there is.

    ``mended``: what was done about a damaged predecessor; None as a rule.
    """

    def __init__(self, path: Path, mended: Text | None = None) -> None:
        """Open the database at ``path``, made or brought up to date.

        Raises:
            StoreError: with the remedy.
        """
        self.path, self.mended = path, mended
        self._lock, self._reading = threading.RLock(), threading.Lock()
        self.closing = threading.Event()  # set, nobody waits for another process any more
        opened: list[sqlite3.Connection] = []
        self._file: int | None = None
        try:
            self._db = self._connect(opened)
            # A job is acknowledged only once it would survive a power cut.
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma foreign_keys = on")
            self._migrate(path)
            self._reader = self._connect(opened)
            self._reader.execute("pragma query_only = on")
            self._file = os.stat(path).st_ino  # as SQLite's own look does it (fileHasMoved)
            for connection in opened:
                connection.execute(f"pragma busy_timeout = {1000 * TURN_SECONDS:.0f}")
        except (sqlite3.Error, StoreError, OSError) as error:
            for connection in opened:
                connection.close()
            told = explained(error, path) if isinstance(error, sqlite3.Error) else error
            raise told or StoreError(
                Text("store.cant_open", file=str(path), why=str(error)),
                Text("store.close_or_move"),
            ) from error

    def _connect(self, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
        made = sqlite3.connect(
            self.path, timeout=TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        opened.append(made)
        made.row_factory = sqlite3.Row
        made.execute("pragma journal_mode = wal")
        return made

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; the write lock is taken at once, so that no reader turns writer late.

        Raises:
            StoreError: it is locked for too long, full, or damaged; nothing was changed.
        """
        with self._lock, self._explaining():
            self._check_place()
            self._begin()
            try:
                yield self._db
                self._db.execute("commit")  # a full disk may show only here
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back after some errors
                    self._db.execute("rollback")
                raise

    def _check_place(self) -> None:
        """What is written to a file that was deleted, or that lies elsewhere now, nobody would find
        again; SQLite itself doesn't look with a write-ahead log."""
        try:
            if self._file in (None, os.stat(self.path).st_ino):
                return
        except OSError:
            if self._file is None:
                return
        folder = self.path.parent
        raise StoreError(
            Text("store.gone", file=self.path.name, folder=folder),
            Text("store.put_back", folder=folder),
        )

    def _begin(self) -> None:
        clock = WakingClock(2 * TURN_SECONDS)
        while True:
            try:
                self._db.execute("begin immediate")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or self.closing.is_set() or clock() > TIMEOUT_SECONDS:
                    raise

    def rows(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Raises StoreError as ``transaction`` does."""
        with self._explaining():
            if self._lock.acquire(blocking=False):  # always so within one's own transaction
                try:
                    return self._db.execute(sql, parameters).fetchall()
                finally:
                    self._lock.release()
            with self._reading:
                return self._reader.execute(sql, parameters).fetchall()

    def check(self) -> None:
        """Read the whole file once: SQLite notices damage only where it reads.

        Raises:
            Damaged: it found some.
        """
        found = self.rows("pragma quick_check(1)")[0][0]
        if found != "ok":
            raise Damaged(Text("store.damaged", file=self.path.name, why=found.splitlines()[0]))

    def close(self) -> None:
        with self._lock, self._reading:
            self._reader.close()
            self._db.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            told = explained(error, self.path)
            if told is None:
                raise
            raise told from error

    def _migrate(self, path: Path) -> None:
        with self.transaction() as db:
            version = db.execute("pragma user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StoreError(
                    Text("store.newer", file=str(path), format=version, known=len(MIGRATIONS)),
                    Text("store.update"),
                )
            for number, step in enumerate(MIGRATIONS[version:], version + 1):
                step(db)
                db.execute(f"pragma user_version = {number}")


def now() -> str:
    """This moment as the store keeps it (``timestamp``)."""
    return timestamp(datetime.now(UTC).timestamp())


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as the store keeps a time: UTC, to the millisecond, in ISO 8601.

    Raises:
        OverflowError: before the year 1, or after 9999.
    """
    # ``fromtimestamp`` refuses what is before 1970 on Windows.
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
