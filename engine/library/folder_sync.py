"""Keeps the library's rows and the files in its folders in step, and empties the trash.

Files come and go by hand: the places of the files are the truth, and the rows follow. Whoever
opens the library has it scan, which lists two folders and opens only files that it doesn't know.
"""

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import loops
from engine.library import reader_process
from engine.library.library import Library, add_clip
from engine.library.mp4 import ClipError
from engine.library.posters import Stamp
from engine.library.receipt import checked
from engine.loops import Faults, Loop
from engine.store import StoreError, timestamp
from engine.text import Said, Text, from_row, to_row

log = logging.getLogger("headroom.folder_sync")

DAY = 86_400.0
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
        self._refusals = self._home.cache / "not-taken-in.json"
        self._refused: dict[str, tuple[Stamp, Text]] | None = None

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
                try:
                    if self.scan().young:
                        wait = SETTLED_SECONDS
                except StoreError:
                    if self._closing.is_set():
                        return  # it was closed while this scan went on
                    raise
            self._closing.wait(self._loop.pause or wait)

    # ---- rows and files ------------------------------------------------------------------------

    def scan(self) -> ScanReport:
        """Look at both folders; one scan at a time, so that no file is read twice."""
        with self._scanning:
            self._library.purge()
            try:
                unknown, young, moved = self._reconcile()
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
            kept = self._known_refusals()
            refused = tuple((name, why) for name, (_, why) in kept.items())
            return ScanReport(added, added + moved, refused, young, problem)

    def _reconcile(self) -> tuple[dict[Path, Stamp], int, int]:
        """Have rows follow their files.

        Returns:
            The files that have no row and must be opened, how many are too young for that, and
            how many rows are others now.
        """
        with self._library.moving:
            self._home.trash.mkdir(exist_ok=True)  # some empty it by removing it
            # In this order: a clip whose file is listed has its name in ``made`` or its row.
            here, there = _listed(self._home.clips), _listed(self._home.trash)
            made = self._half_kept(self._store.rows)
            rows = self._store.rows("select id, file, trashed, missing from clips")
            changed = []
            for row in rows:
                file, missing, trashed = row["file"], False, row["trashed"]
                if file in here:
                    trashed = None
                elif file in there:
                    trashed = trashed or timestamp(time.time())
                else:  # unless it came after the folders were listed
                    missing = bool(row["missing"]) or not self._exists(file)
                if (missing, trashed) != (bool(row["missing"]), row["trashed"]):
                    changed.append((int(missing), trashed, row["id"]))
            if changed:
                with self._store.transaction() as db:
                    db.executemany(
                        "update clips set missing = ?, trashed = ? where id = ?", changed
                    )
        known = {row["file"] for row in rows} | made
        strangers = [*_new(here, known), *_new(there, known | here.keys())]
        return *self._to_open(strangers, here.keys() | there.keys()), len(changed)

    def _exists(self, file: str) -> bool:
        return (self._home.clips / file).exists() or (self._home.trash / file).exists()

    def _half_kept(self, rows: Any) -> set[str]:
        """The names of files that the engine is moving in right now, or was when it was killed."""
        found = rows("select made from jobs where state = 'running' and made is not null")
        return {json.loads(row["made"])["file"] for row in found}

    def _to_open(
        self, strangers: list["os.DirEntry[str]"], listed: Iterable[str]
    ) -> tuple[dict[Path, Stamp], int]:
        unknown, young = {}, 0
        refused = self._known_refusals()
        for name in refused.keys() - set(listed):
            del refused[name]
        for entry in strangers:
            with contextlib.suppress(OSError):  # gone since it was listed
                about = entry.stat()
                mark = (about.st_mtime_ns, about.st_size)
                if 0 <= time.time() - max(about.st_mtime, about.st_ctime) < SETTLED_SECONDS:
                    young += 1
                elif refused.get(entry.name, (None,))[0] != mark:
                    unknown[Path(entry.path)] = mark
        return unknown, young

    # ---- files that came by hand -----------------------------------------------------------------

    def _take_in(self, unknown: dict[Path, Stamp]) -> int:
        """Read them and give them rows, a batch at a time; returns how many got one."""
        added, paths = 0, list(unknown)
        refused = self._known_refusals()
        for start in range(0, len(paths), reader_process.BATCH):
            if self._closing.is_set():
                break
            answers = reader_process.receipts(paths[start : start + reader_process.BATCH])
            with self._library.moving, self._store.transaction() as db:
                for path, answer in answers.items():
                    if isinstance(answer, ClipError):
                        refused[path.name] = unknown[path], answer.sentence
                    else:
                        refused.pop(path.name, None)
                        added += self._add(db, path, unknown[path], answer)
        if paths:
            self._keep_refusals(refused)
        return added

    def _add(
        self, db: sqlite3.Connection, path: Path, mark: Stamp, receipt: dict[str, Any]
    ) -> bool:
        """A row for a file that came by hand; the row of one that was only renamed follows it."""

        def rows(sql: str, *values: object) -> list[sqlite3.Row]:
            return db.execute(sql, values).fetchall()

        if path.name in self._half_kept(rows) or not path.exists():
            return False
        if rows("select 1 from clips where file = ?", path.name):
            return False
        trashed = timestamp(time.time()) if path.parent == self._home.trash else None
        for row in rows(
            "select * from clips where missing = 1 and prompt = ?", receipt["request"]["prompt"]
        ):
            if _same(json.loads(row["receipt"]), receipt):
                db.execute(
                    "update clips set file = ?, missing = 0, trashed = ? where id = ?",
                    (path.name, trashed, row["id"]),
                )
                return True
        add_clip(db, None, timestamp(mark[0] / 1e9), path.name, receipt)
        db.execute("update clips set trashed = ? where file = ?", (trashed, path.name))
        return True

    def _known_refusals(self) -> dict[str, tuple[Stamp, Text]]:
        """What was opened once and isn't ours, so that it isn't opened at every start."""
        if self._refused is None:
            self._refused = {}
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                kept = json.loads(self._refusals.read_text(encoding="utf-8"))
                self._refused = {
                    name: ((int(changed), int(size)), from_row(str(why)))
                    for name, (changed, size, why) in kept.items()
                }
        return self._refused

    def _keep_refusals(self, refused: dict[str, tuple[Stamp, Text]]) -> None:
        kept = {name: [*mark, to_row(why)] for name, (mark, why) in refused.items()}
        with contextlib.suppress(OSError):  # then they are opened once more
            self._refusals.write_text(json.dumps(kept), encoding="utf-8")


def _listed(folder: Path) -> dict[str, "os.DirEntry[str]"]:
    """The MP4s in ``folder`` by name; those that begin with a dot aren't whole."""
    with os.scandir(folder) as entries:
        return {
            entry.name: entry
            for entry in entries
            if entry.name.lower().endswith(".mp4")
            and not entry.name.startswith(".")
            and not entry.is_symlink()
        }


def _new(listed: dict[str, "os.DirEntry[str]"], known: Iterable[str]) -> list["os.DirEntry[str]"]:
    names = listed.keys() - set(known)
    return [entry for name, entry in listed.items() if name in names]


def _same(kept: dict[str, Any], read: dict[str, Any]) -> bool:
    with contextlib.suppress(ClipError):
        return checked(kept, "the library") == read
    return False
