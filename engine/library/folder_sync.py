"""Keeps the library's rows and the files in its folders in step, and empties the trash.

Files come and go by hand: the places of the files are the truth, and the rows follow. Whoever
opens the library has it scan, which lists two folders and opens only files that it doesn't know.
"""

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.home import HomeError
from engine.library import files, reader_process, refusals, rows_of_before
from engine.library.files import Identity, Stamp
from engine.library.library import Library, add_clip
from engine.library.matching import Row, Seen, listed, match
from engine.library.mp4 import ClipError
from engine.library.receipt import checked
from engine.library.sources import Sources
from engine.process import loops, moves
from engine.process.loops import Faults, Loop, described
from engine.process.own_files import sha256_of
from engine.store import StoreError, explained, timestamp
from engine.text import Said, Text

log = logging.getLogger("headroom.folder_sync")

DAY = 86_400.0
TRASH = "trash/"  # before the names of what lies there
SETTLED_SECONDS = 3.0  # a younger file may still be on its way in


@dataclass(frozen=True)
class ScanReport:
    """What a scan saw: clips ``added`` to the library, how many rows ``changed`` in all, files that
    it didn't take (name: why), how many are so young that they are looked at next time, and what
    kept it from looking."""

    added: int = 0
    changed: int = 0
    refused: tuple[tuple[str, Text], ...] = ()
    young: int = 0
    problem: Said = ""


class FolderSync:
    """See the module's docstring. ``start`` and ``close`` frame the life of its thread."""

    def __init__(self, library: Library, faults: Faults | None = None) -> None:
        self._loop = Loop("folder_sync", (faults or Faults()).tell)
        self._library, self._home, self._store = library, library.home, library.store
        self._scanning = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder sync", daemon=True)
        self._refused: refusals.Refusals | None = None
        self._unlearned = False  # whether rows of before wait for the next scan

    def start(self) -> None:
        """Scan and empty the trash now, in the background, and once a day; sooner where a file was
        too young to be opened."""
        loops.start(self._thread)

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._closing.is_set():
            wait = DAY
            with self._loop.turn():
                for folder in (self._home.clips, self._home.trash):
                    moves.clear_halves(folder)
                try:
                    young = self._scan().young
                    self._library.settle_pictures()
                    if young or self._unlearned:
                        wait = SETTLED_SECONDS
                except StoreError:
                    if self._closing.is_set():
                        return  # it was closed while this scan went on
                    raise
            self._closing.wait(self._loop.pause or wait)

    # ---- rows and files ------------------------------------------------------------------------

    def scan(self) -> ScanReport:
        """Look at both folders; one scan at a time, so that no file is read twice.

        Raises:
            StoreError: the database can't be read or written now.
        """
        try:
            return self._scan()
        except StoreError:
            raise
        except Exception as error:  # whoever opens the library sees it all the same
            self._loop.failed(error)
            return ScanReport(problem=Text("library.scan_failed", error=described(error)))

    def _scan(self) -> ScanReport:
        with self._scanning:
            self._library.purge()
            Sources(self._library.home, self._library.store).settle()
            try:
                unknown, young, moved, odd = self._reconcile()
            except (HomeError, reader_process.ReaderError) as error:
                return ScanReport(problem=error.text)
            except OSError as error:
                # A drive that isn't there: its clips aren't gone.
                log.warning("the clips folder can't be listed: %s", error)
                reason = error.strerror or str(error)
                return ScanReport(problem=Text("library.cant_list", reason=reason))
            added = 0
            problem: Said = ""
            try:
                added = self._take_in(unknown)
            except reader_process.ReaderError as error:
                problem = error.text
            self._unlearned = rows_of_before.learn_some(self._library)
            kept = {name: why for name, (_, why) in self._known_refusals().items()}
            refused = tuple((kept | odd).items())
            return ScanReport(added, added + moved, refused, young, problem)

    def _reconcile(self) -> tuple[dict[Path, Stamp], int, int, dict[str, Text]]:
        """Have rows follow their files.

        Returns:
            The files that have no row and must be opened, how many are too young for that, how many
            rows are others now, and what can't be a clip, with why.
        """
        strange = rows_of_before.strangers(self._library)
        with self._library.moving:
            self._home.check(self._home.clips)
            self._home.made(self._home.trash)  # some empty it by removing it
            # In this order: a clip whose file is listed has its name in ``made`` or its row.
            here, there = listed(self._home.clips), listed(self._home.trash)
            made = self._half_kept(self._store.rows)
            rows = self._store.rows(
                "select id, file, trashed, missing, stamp, digest from clips order by missing, id"
            )
            settled, others = _settled(rows, here.files, there.files)
            free = [seen for name, seen in here.files.items() if name not in made]
            free += there.files.values()
            placed = match(others, [seen for seen in free if seen not in settled], strange)
            kept = {seen.name for seen in settled}
            there_are = here.files.keys() | there.files.keys()
            used = there_are | {row["file"] for row in rows}
            changed = self._follow(others, placed, kept, used, there_are)
        settled |= set(placed.values())
        strangers = [seen for seen in free if seen not in settled]
        odd = {**here.refused, **{f"{TRASH}{name}": why for name, why in there.refused.items()}}
        names = [*here.files, *(f"{TRASH}{name}" for name in there.files)]
        return *self._to_open(strangers, names), changed, odd

    def _follow(
        self,
        rows: list[Row],
        placed: dict[int, Seen],
        kept: set[str],
        used: set[str],
        there_are: set[str],
    ) -> int:
        """Write down where each row's file is now; returns for how many that is another place.

        Args:
            kept: names of the clips that are where they were; nobody else gets those.
            used: of all files and rows.
            there_are: of all files.
        """
        twins = {name.casefold() for name in there_are} if rows else set()
        fresh = {row.id: row for row in rows}
        # What lies in the clips folder keeps its name; what lies in the trash gives way to that,
        # and a row without a file to both.
        names = set(kept)
        for row in sorted(rows, key=lambda row: self._rank(placed.get(row.id))):
            seen = placed.get(row.id)
            name = row.file if seen is None else seen.name
            if name in names:
                name = next(other for other in files.other_names(name) if other not in used)
                if seen is not None:
                    moves.move(seen.path, self._home.trash / name)
            names.add(name)
            used.add(name)
            if seen is None:
                came = self._exists(row.file) and row.file.casefold() not in twins
                missing = row.missing or not came  # came: after the folders were listed
                fresh[row.id] = replace(row, file=name, missing=missing)
            else:
                trashed = None if self._is_here(seen) else row.trashed or timestamp(time.time())
                identity = Identity(seen.stamp, row.identity.digest)
                fresh[row.id] = Row(row.id, name, trashed, False, identity)
        self._write([new for row in rows if (new := fresh[row.id]) != row])
        return sum(replace(fresh[row.id], identity=row.identity) != row for row in rows)

    def _rank(self, seen: Seen | None) -> int:
        return 2 if seen is None else 0 if self._is_here(seen) else 1

    def _is_here(self, seen: Seen) -> bool:
        return seen.folder == str(self._home.clips)

    def _write(self, rows: list[Row]) -> None:
        if rows:
            with self._store.transaction() as db:
                for row in rows:  # two may have each other's name
                    db.execute("update clips set file = '/' || id where id = ?", (row.id,))
                db.executemany(
                    "update clips set file = ?, missing = ?, trashed = ?, stamp = ?, digest = ?"
                    " where id = ?",
                    [(r.file, int(r.missing), r.trashed, *r.identity.to_row(), r.id) for r in rows],
                )

    def _exists(self, file: str) -> bool:
        return (self._home.clips / file).exists() or (self._home.trash / file).exists()

    def _half_kept(self, rows: Any) -> set[str]:
        """The names of files that the engine is moving in right now, or was when it was killed."""
        found = rows("select made from jobs where state = 'running' and made is not null")
        return {json.loads(row["made"])["file"] for row in found}

    def _to_open(
        self, strangers: list[Seen], names: Iterable[str]
    ) -> tuple[dict[Path, Stamp], int]:
        unknown, young = {}, 0
        refused = self._known_refusals()
        for name in refused.keys() - set(names):
            del refused[name]
        for seen in strangers:
            key = self._key(seen.path)
            if 0 <= time.time() - seen.changed < SETTLED_SECONDS:
                young += 1
            elif refused.get(key, (None,))[0] != seen.stamp:
                unknown[seen.path] = seen.stamp
        return unknown, young

    def _key(self, path: Path) -> str:
        """Its name among the refusals: both folders may have one of that name."""
        return path.name if path.parent == self._home.clips else f"{TRASH}{path.name}"

    # ---- files that came by hand -----------------------------------------------------------------

    def _take_in(self, unknown: dict[Path, Stamp]) -> int:
        """Read them and give them rows, a batch at a time; returns how many got one."""
        added, paths = 0, list(unknown)
        refused = self._known_refusals()
        for start in range(0, len(paths), reader_process.BATCH):
            if self._closing.is_set():
                break
            answers = _read(paths[start : start + reader_process.BATCH])
            with self._library.moving, self._store.transaction() as db:
                for path, answer in answers.items():
                    refused.pop(self._key(path), None)
                    if files.stamp_of(path) != unknown[path]:
                        continue  # gone, or it goes on changing: the next scan's
                    found = (
                        answer
                        if isinstance(answer, ClipError)
                        else self._add(db, path, unknown[path], answer)
                    )
                    if isinstance(found, ClipError):
                        # Who may not be read now may be later, without a change that shows.
                        again = found.sentence.id == "library.cant_read"
                        mark = (0, 0) if again else unknown[path]
                        refused[self._key(path)] = mark, found.sentence
                    else:
                        added += found
        if paths:
            refusals.save(self._home, refused)
        return added

    def _add(
        self, db: sqlite3.Connection, path: Path, mark: Stamp, receipt: dict[str, Any]
    ) -> bool | ClipError:
        """A row for one file; whether it got one, or why it can't have one.

        Raises:
            sqlite3.Error: the database can't be written now, which is no fault of the file.
        """
        db.execute("savepoint one_file")
        try:
            return self._add_row(db, path, Identity(mark, sha256_of(path)), receipt)
        except OverflowError:
            return ClipError(Text("library.time_beyond", file=path.name))
        except Exception as error:  # the other files are taken in all the same
            if isinstance(error, sqlite3.Error) and explained(error, self._store.path):
                raise
            if db.in_transaction:
                db.execute("rollback to one_file")
            log.exception("a file can't be taken in")
            return ClipError(Text("library.no_row", file=path.name, error=described(error)))
        finally:
            if db.in_transaction:
                db.execute("release one_file")

    def _add_row(
        self, db: sqlite3.Connection, path: Path, identity: Identity, receipt: dict[str, Any]
    ) -> bool:
        """A row for a file that came by hand; the row of one that was only renamed follows it."""

        def rows(sql: str, *values: object) -> list[sqlite3.Row]:
            return db.execute(sql, values).fetchall()

        trash = self._home.trash
        if path.name in self._half_kept(rows) or not path.exists():
            return False
        name, trashed = path.name, timestamp(time.time()) if path.parent == trash else None
        for row in rows(
            "select * from clips where missing = 1 and prompt = ?", receipt["request"]["prompt"]
        ):
            if _same(json.loads(row["receipt"]), receipt):
                name = self._name_for(db, path, row["id"])
                db.execute(
                    "update clips set file = ?, missing = 0, trashed = ?, stamp = ?, digest = ?"
                    " where id = ?",
                    (name, trashed, *identity.to_row(), row["id"]),
                )
                return True
        assert identity.stamp is not None
        created = timestamp(identity.stamp[0] / 1e9)
        name = self._name_for(db, path, 0)
        add_clip(db, None, created, name, receipt, identity)
        db.execute("update clips set trashed = ? where file = ?", (trashed, name))
        return True

    def _name_for(self, db: sqlite3.Connection, path: Path, number: int) -> str:
        """The name that the file at ``path`` has from now on, for the row ``number``. Another row
        of that name gives way, unless that one lies in the clips folder and this in the trash."""
        found = db.execute(
            "select id, trashed, missing from clips where file = ? and id != ?",
            (path.name, number),
        ).fetchone()
        if found is None:
            return path.name
        mine = path.parent != self._home.trash
        taken = self._library.is_taken(number)
        if not mine and not found["missing"]:
            return files.move(path, self._home.trash, taken)
        other = next(n for n in files.other_names(path.name) if not taken(n))
        if not found["missing"]:
            other = files.move(self._home.trash / path.name, self._home.trash, taken)
        db.execute("update clips set file = ? where id = ?", (other, found["id"]))
        return path.name

    def _known_refusals(self) -> refusals.Refusals:
        if self._refused is None:
            self._refused = refusals.load(self._home)
        return self._refused


def _read(paths: list[Path]) -> dict[Path, dict[str, Any] | ClipError]:
    """As ``reader_process.receipts``; an answer that makes no sense is one file's."""
    try:
        return reader_process.receipts(paths)
    except reader_process.ReaderError:
        raise
    except Exception as error:
        if len(paths) > 1:
            return {path: answer for path in paths for path, answer in _read([path]).items()}
        log.exception("a file's receipt can't be read")
        why = Text("library.no_row", file=paths[0].name, error=described(error))
        return {paths[0]: ClipError(why)}


def _settled(
    rows: list[sqlite3.Row], here: dict[str, Seen], there: dict[str, Seen]
) -> tuple[set[Seen], list[Row]]:
    """The files that are their rows' for certain, as nearly all are; and the other rows."""
    settled, others = set(), []
    for row in rows:
        file, trashed = row["file"], row["trashed"]
        seen = (there if trashed else here).get(file)
        if (
            seen is not None
            and not row["missing"]
            and row["stamp"] == f"{seen.stamp[0]} {seen.stamp[1]}"
            and not (trashed and file in here)  # whose name it is then has to be settled
        ):
            settled.add(seen)
        else:
            others.append(_as_row(row))
    return settled, others


def _as_row(row: sqlite3.Row) -> Row:
    identity = Identity.from_row(row["stamp"], row["digest"])
    return Row(row["id"], row["file"], row["trashed"], bool(row["missing"]), identity)


def _same(kept: dict[str, Any], read: dict[str, Any]) -> bool:
    with contextlib.suppress(ClipError):
        return checked(kept, "the library") == read
    return False
