"""The clips made here: rows of the store, files in the clips folder, or for a week in the trash."""

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.home import Home
from engine.letters import folded, for_name
from engine.library import files
from engine.library.clock import Clock
from engine.library.files import UNKNOWN, Identity, still_of
from engine.pictures.kept import KeptPictures
from engine.process.own_files import is_own_file, sha256_of
from engine.request import ClipRequest
from engine.store import Store, timestamp
from engine.text import Text

log = logging.getLogger("headroom.library")

TRASH_DAYS = 7
PAGE = 60


# Not materialized: so that both look into the table's indices.
FOUND = (
    "with meant as not materialized"
    " (select *, coalesce(family, digest) as root from clips where {}),"
    " found as not materialized (select * from meant where {})"
)
# Copies of a file have one digest, but are no versions.
STACKED = (
    "not exists (select 1 from meant newer where newer.root = meant.root"
    " and (newer.family is not null or meant.family is not null)"
    " and (newer.created, newer.id) > (meant.created, meant.id))"
)


class LibraryError(HeadroomError):
    """What was asked of a clip can't be done."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Clip:
    """A finished clip: ``file`` is its name in the clips folder. ``job`` is None for one that came
    by hand, ``trashed`` when it was deleted, ``missing`` whether its file is gone, ``identity``
    what tells its file from another of that name, ``family`` the SHA-256 of the clip that it is
    another version of, in the end."""

    id: int
    job: int | None
    created: str
    file: str
    receipt: dict[str, Any]
    favourite: bool
    trashed: str | None
    missing: bool
    identity: Identity = field(default=UNKNOWN, compare=False)
    family: str | None = None

    @property
    def root(self) -> str | None:
        """What its versions and itself have in common; None without a digest."""
        return self.family or self.identity.digest

    @property
    def request(self) -> ClipRequest:
        return ClipRequest.from_json(self.receipt["request"])

    @property
    def fps(self) -> int | None:
        """Frames a second, where it is another version's; else it is its model's."""
        rate = self.receipt["request"].get("fps")
        return None if rate is None else int(rate)

    @property
    def frames(self) -> int:
        """How many its file has: more than were asked for where it goes on from another clip."""
        return int(self.receipt.get("frames") or self.receipt["request"]["frames"])


@dataclass(frozen=True)
class Query:
    """What to look for. ``words`` must all occur in the prompt, in any order and case; an empty
    ``model`` and a ``height`` or ``width`` of 0 mean any. ``stacked``: of a clip and its versions
    only the newest that is meant."""

    words: str = ""
    model: str = ""
    height: int = 0
    width: int = 0
    favourites: bool = False
    trash: bool = False
    stacked: bool = False

    @property
    def order(self) -> str:
        """The column by which the newest comes first."""
        return "trashed" if self.trash else "created"


Key = tuple[str, int]


@dataclass(frozen=True)
class ClipPage:
    """Some clips, how many there are in all, and where the next page begins, if there is one."""

    clips: list[Clip]
    count: int
    next: Key | None


class Library:
    """What was made here, newest first.

    A file's place says whether it is deleted: it is moved before its row is changed, so that a
    crash in between, or a hand in the file manager, leaves a row that ``FolderSync.scan`` corrects.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self.home, self.store = home, store
        self.pictures = KeptPictures(home)
        self._clock = Clock()
        self.moving = threading.RLock()  # a scan must not look between a move and its row

    # ---- looking -----------------------------------------------------------------------------

    def newest(self, limit: int = 1000) -> list[Clip]:
        rows = self.store.rows(
            "select * from clips where trashed is null and missing = 0"
            " order by created desc, id desc limit ?",
            (limit,),
        )
        return [as_clip(row) for row in rows]

    def last_made(self) -> Clip | None:
        """What the engine made last, whatever the clock says."""
        rows = self.store.rows(
            "select * from clips where job is not null and trashed is null and missing = 0"
            " order by id desc limit 1"
        )
        return as_clip(rows[0]) if rows else None

    def get(self, number: int) -> Clip | None:
        if not 0 < number < 2**63:  # SQLite's integers end there
            return None
        rows = self.store.rows("select * from clips where id = ?", (number,))
        return as_clip(rows[0]) if rows else None

    def found(self, number: int) -> Clip:
        """Raises LibraryError: there is no such clip."""
        clip = self.get(number)
        if clip is None:
            raise LibraryError(Text("library.gone"), Text("library.reload"))
        return clip

    def with_digest(self, digest: str) -> Clip | None:
        """A clip whose file has this SHA-256, and is here."""
        rows = self.store.rows(
            "select * from clips where digest = ? and missing = 0 order by trashed is not null",
            (digest,),
        )
        return next((clip for row in rows if self.lies_here(clip := as_clip(row))), None)

    def of_job(self, job: int) -> Clip | None:
        rows = self.store.rows("select * from clips where job = ?", (job,))
        return as_clip(rows[0]) if rows else None

    def page(
        self, query: Query, after: Key | None = None, limit: int = PAGE, skip: int = 0
    ) -> ClipPage:
        """The newest clips that ``query`` means, or those that come ``after`` a page's end.

        Args:
            skip: so many of them are left out, for whoever counts instead of keeping an end.
        """
        where, values = _where(query)
        found = FOUND.format(where, STACKED if query.stacked else "true")
        count = self.store.rows(f"{found} select count(*) from found", tuple(values))[0][0]
        behind = "" if after is None else f" and ({query.order}, id) < (?, ?)"
        rows = self.store.rows(
            f"{found} select * from found where true{behind} order by {query.order} desc, id desc"
            " limit ? offset ?",
            (*values, *(after or ()), limit + 1, skip),
        )
        last = rows[limit - 1] if len(rows) > limit else None
        key = (last[query.order], last["id"]) if last else None
        return ClipPage([as_clip(row) for row in rows[:limit]], count, key)

    def stacks(self, clips: Sequence[Clip]) -> dict[int, int]:
        """How many versions each of ``clips`` has, itself among them, by its number."""
        rows = self.store.rows(
            "select coalesce(family, digest) as root, count(*) as many from clips"
            " where coalesce(family, digest) in (select value from json_each(?))"
            " and trashed is null and missing = 0 group by root having max(family) is not null",
            (json.dumps([clip.root for clip in clips]),),
        )
        many = {row["root"]: row["many"] for row in rows}
        return {clip.id: many.get(clip.root, 1) for clip in clips}

    def kinds(self) -> tuple[list[str], list[tuple[int, int]]]:
        """The models, and the sizes as (height, width), of which there are clips."""
        rows = self.store.rows("select distinct model, height, width from clips where missing = 0")
        shapes = {(row["height"], row["width"]) for row in rows}
        by_area = sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape))
        return sorted({row["model"] for row in rows}), by_area

    def lies_here(self, clip: Clip) -> bool:
        """Whether its file is there, and not a link to one elsewhere."""
        return is_own_file(self.place(clip))

    def place(self, clip: Clip) -> Path:
        """Where its file lies."""
        return (self.home.trash if clip.trashed else self.home.clips) / clip.file

    # ---- changing ------------------------------------------------------------------------------

    def favourite(self, number: int, on: bool) -> None:
        self._change(number, "favourite", int(on))

    def trash(self, number: int) -> None:
        """Delete a clip, for ``TRASH_DAYS`` not for good (many: ``many.py``).

        Raises:
            LibraryError: there is no such clip, another file has its name, or it can't be moved.
        """
        with self.moving:
            self.write(self.moved_to_trash(self.found(number)))

    def restore(self, number: int) -> None:
        """Take a clip back out of the trash, under the next free name where its own is taken.

        Raises:
            LibraryError: as ``trash``.
        """
        with self.moving:
            self.write(self.moved_back(self.found(number)))

    def moved_to_trash(self, clip: Clip) -> Clip | None:
        """Move its file; returns what its row has to say now (``write``), None where it is in the
        trash already. Within ``moving``; raises as ``trash``."""
        if clip.trashed is not None:
            return None
        file = self._move(clip, self.home.clips, self.home.trash)
        return replace(clip, file=file, trashed=timestamp(time.time()))

    def moved_back(self, clip: Clip) -> Clip | None:
        """As ``moved_to_trash``, out of it."""
        if clip.trashed is None:
            return None
        file, back = clip.file, self.home.clips / clip.file
        if os.path.exists(self.home.trash / file) or not self.is_its(clip, back):
            file = self._move(clip, self.home.trash, self.home.clips)
        return replace(clip, file=file, trashed=None)

    def write(self, *moved: Clip | None) -> None:
        """Where they lie now, in one transaction."""
        with self.store.transaction() as db:
            for clip in filter(None, moved):
                stamp = files.stamp_of(self.place(clip)) or clip.identity.stamp
                identity = Identity(stamp, clip.identity.digest)
                db.execute(
                    "update clips set file = ?, trashed = ?, stamp = ?, digest = ? where id = ?",
                    (clip.file, clip.trashed, *identity.to_row(), clip.id),
                )
        if any(clip is not None and clip.request.pictures for clip in moved):
            self.settle_pictures()

    def is_its(self, clip: Clip, path: Path) -> bool:
        """Whether the file at ``path`` is there and ``clip``'s, not another of that name."""
        with contextlib.suppress(OSError):
            stamp = files.stamp_of(path)
            return stamp is not None and is_own_file(path) and clip.identity.fits(path, stamp)
        return False

    def learn(self, clip: Clip) -> str | None:
        """Write down the SHA-256 of a row of before, which has none; None where its file can't be
        read, or isn't as the last scan saw it."""
        path, stamp = self.place(clip), clip.identity.stamp
        with contextlib.suppress(OSError):
            if stamp is None or not is_own_file(path) or files.stamp_of(path) != stamp:
                return None
            digest = sha256_of(path)
            if files.stamp_of(path) != stamp:
                return None
            with self.moving, self.store.transaction() as db:
                kept = clip.identity.to_row()[0]
                learn = "update clips set digest = ? where id = ? and stamp = ? and digest is null"
                db.execute(learn, (digest, clip.id, kept))
            return digest
        return None

    def is_taken(self, number: int) -> Callable[[str], bool]:
        """Whether a name belongs to another clip than ``number``, wherever that lies."""

        def taken(name: str) -> bool:
            others = "select 1 from clips where file = ? and id != ?"
            return bool(self.store.rows(others, (name, number)))

        return taken

    def purge(self) -> int:
        """Remove for good what has been in the trash for ``TRASH_DAYS``; returns how many.

        The file first: without it the row can be found again, but not the other way round.
        """
        gone = 0
        if not os.path.isdir(self.home.trash):
            return gone  # nothing is in it, or its drive isn't there
        if self._clock.was_set():
            log.warning("the clock was moved by more than a day: the trash isn't emptied for now")
            return gone
        ended = timestamp(time.time() - timedelta(days=TRASH_DAYS).total_seconds())
        with self.moving:
            for row in self.store.rows(
                "select * from clips where trashed is not null and trashed < ?", (ended,)
            ):
                clip = as_clip(row)
                file = self.home.trash / clip.file
                if os.path.exists(file):
                    if not self.is_its(clip, file):
                        continue  # another one, which the next scan notices
                elif self.is_its(clip, self.home.clips / clip.file):
                    continue  # taken back by hand
                try:
                    file.unlink(missing_ok=True)
                except OSError:
                    log.exception("%s can't be removed", file)
                    continue
                with self.store.transaction() as db:
                    db.execute("delete from clips where id = ?", (row["id"],))
                self._forget_still(clip)
                gone += 1
        return gone

    def settle_pictures(self) -> None:
        """Have the pictures lie where the clips do that name them (``KeptPictures.settle``)."""
        if not self.pictures.any():
            return
        named: dict[bool, set[str]] = {True: set(), False: set()}
        for row in self.store.rows(
            "select trashed is not null as deleted, receipt ->> '$.request.image' as first,"
            " receipt ->> '$.request.last_image' as last from clips"
            " where receipt ->> '$.request.image' is not null"
        ):
            named[bool(row["deleted"])].update(filter(None, (row["first"], row["last"])))
        for row in self.store.rows(
            "select request ->> '$.image' as first, request ->> '$.last_image' as last from jobs"
            " where request ->> '$.image' is not null and (state in ('queued', 'running')"
            " or (state in ('failed', 'cancelled') and cleared = 0))"  # which may be queued again
        ):
            named[False].update(filter(None, (row["first"], row["last"])))
        self.pictures.settle(named[False], named[True])

    def _forget_still(self, clip: Clip) -> None:
        """Of a clip that has no row any more; a copy of its file may have one."""
        digest = clip.identity.digest
        if digest and not self.store.rows("select 1 from clips where digest = ?", (digest,)):
            with contextlib.suppress(OSError):
                still_of(self.home, digest).unlink(missing_ok=True)

    def _change(self, number: int, column: str, value: object) -> None:
        with self.store.transaction() as db:
            db.execute(f"update clips set {column} = ? where id = ?", (value, number))

    def _move(self, clip: Clip, old: Path, new: Path) -> str:
        """The clip's file; one that is gone already is no error, for the scan sees it.

        Returns:
            the name that it has now.
        """
        source = old / clip.file
        try:
            self.home.made(new)  # emptied by hand, some remove the folder too
            if not source.exists():
                return clip.file
            if not self.is_its(clip, source):
                raise LibraryError(
                    Text("library.another_file", file=clip.file, folder=old),
                    Text("library.reload"),
                )
            return files.move(source, new, self.is_taken(clip.id))
        except OSError as error:
            raise LibraryError(
                Text("library.cant_move", file=clip.file, reason=error.strerror or str(error)),
                Text("library.close_player", folder=new),
            ) from error


def clip_name(job: int, prompt: str, seed: int) -> str:
    """A file name that a person recognises and every file system takes."""
    # 40 characters are at most 160 bytes of UTF-8: below every file system's limit of 255.
    return f"{job:05d}-{for_name(prompt, 40) or 'clip'}-seed{seed}.mp4"


def days_left(trashed: str) -> int:
    """How many days a clip that was deleted then can still be taken back."""
    ends = datetime.fromisoformat(trashed) + timedelta(days=TRASH_DAYS)
    return max(0, min(TRASH_DAYS, -(-(ends - datetime.now(UTC)) // timedelta(days=1))))


def _where(query: Query) -> tuple[str, list[object]]:
    parts = ["trashed is not null" if query.trash else "trashed is null", "missing = 0"]
    values: list[object] = []
    if words := folded(query.words).split():
        # All of them, in SQLite itself: "like" knows signs that mean something, and a function of
        # Python's would be called for every clip at every letter that is typed.
        parts.append("not exists (select 1 from json_each(?) where instr(folded, value) = 0)")
        values.append(json.dumps(words))
    for name in ("model", "height", "width"):
        if wanted := getattr(query, name):
            parts.append(f"{name} = ?")
            values.append(wanted)
    if query.favourites:
        parts.append("favourite = 1")
    return " and ".join(parts), values


def add_clip(
    db: sqlite3.Connection,
    job: int | None,
    created: str,
    file: str,
    receipt: dict[str, Any],
    identity: Identity = UNKNOWN,
) -> None:
    """Give the file of that name in the clips folder its row, within the caller's transaction.

    Args:
        identity: of the file; what isn't known is learned when a scan sees it.

    Raises:
        sqlite3.IntegrityError: the file, or the job, has one already.
    """
    request = receipt["request"]
    db.execute(
        "insert into clips (job, created, file, receipt, folded, prompt, model, height, width,"
        " frames, stamp, digest) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            created,
            file,
            json.dumps(receipt, ensure_ascii=False),
            folded(request["prompt"]),
            *(request[name] for name in ("prompt", "model", "height", "width", "frames")),
            *identity.to_row(),
        ),
    )


def as_clip(row: sqlite3.Row) -> Clip:
    return Clip(
        row["id"],
        row["job"],
        row["created"],
        row["file"],
        json.loads(row["receipt"]),
        bool(row["favourite"]),
        row["trashed"],
        bool(row["missing"]),
        Identity.from_row(row["stamp"], row["digest"]),
        row["family"],
    )
