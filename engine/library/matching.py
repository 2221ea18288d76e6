"""Which file in the library's folders is which row's: by content, not by name."""

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.library.files import Identity, Stamp
from engine.process.own_files import sha256_of
from engine.text import Text, sayable


class Seen(NamedTuple):
    """A file as a folder lists it. ``changed``: seconds since 1970, its content or its name."""

    folder: str
    name: str
    stamp: Stamp
    changed: float

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)


@dataclass(frozen=True)
class Listed:
    """The MP4s in a folder by name, and what is called like one and can't be a clip, with why."""

    files: dict[str, Seen]
    refused: dict[str, Text]


def listed(folder: Path) -> Listed:
    """What lies in ``folder``; those that begin with a dot aren't whole. Nothing is opened: a pipe
    would wait for ever for whoever writes.

    Raises:
        OSError: it can't be listed.
    """
    found = Listed({}, {})
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(".mp4") and not entry.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    _sort_in(str(folder), entry, found)
    return found


def _sort_in(folder: str, entry: "os.DirEntry[str]", found: Listed) -> None:
    name = entry.name
    if sayable(name) != name:
        found.refused[name] = Text("library.name_bytes", file=name)
        return
    try:
        about = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        found.refused[name] = Text("library.cant_read", file=name, reason=reason)
        return
    if stat.S_ISREG(about.st_mode):
        stamp, changed = (about.st_mtime_ns, about.st_size), max(about.st_mtime, about.st_ctime)
        found.files[name] = Seen(folder, name, stamp, changed)
    elif stat.S_ISLNK(about.st_mode):
        found.refused[name] = Text("library.is_link", file=name)
    elif stat.S_ISDIR(about.st_mode):
        found.refused[name] = Text("files.is_folder", file=name)
    else:
        found.refused[name] = Text("files.is_special", file=name)


@dataclass(frozen=True)
class Row:
    """A clip as far as it is needed to find its file: the columns of that name."""

    id: int
    file: str
    trashed: str | None
    missing: bool
    identity: Identity


def match(
    rows: Iterable[Row], files: Iterable[Seen], strangers: Collection[tuple[int, Path]] = ()
) -> dict[int, Seen]:
    """Which of ``files`` is whose, for each row that has one.

    The same name, time and size is the same file; then the same name and bytes; then the same time
    and size under another name, or the same bytes. A row of before, which has only a name, takes
    the file of that name, unless its own was gone already.

    Args:
        files: those of the clips folder before those of the trash.
        strangers: rows of before, by number, and files of their name that aren't theirs.
    """
    return _Matching(files, strangers).of(list(rows))


class _Matching:
    """One look: no file is two rows', and none is read twice."""

    def __init__(self, files: Iterable[Seen], strangers: Collection[tuple[int, Path]]) -> None:
        self._strangers = strangers
        self._free: set[Seen] = set(files)
        self._by_name: dict[str, list[Seen]] = defaultdict(list)
        self._by_stamp: dict[Stamp, list[Seen]] = defaultdict(list)
        self._by_size: dict[int, list[Seen]] = defaultdict(list)
        self._digests: dict[Seen, str] = {}
        for seen in files:
            self._by_name[seen.name].append(seen)
            self._by_stamp[seen.stamp].append(seen)
            self._by_size[seen.stamp[1]].append(seen)

    def of(self, rows: list[Row]) -> dict[int, Seen]:
        placed: dict[int, Seen] = {}
        for look in (self._same_stamp, self._same_name, self._renamed, self._same_bytes):
            for row in rows:
                if row.id not in placed and (seen := look(row)) is not None:
                    placed[row.id] = seen
                    self._free.remove(seen)
        return placed

    def _named(self, row: Row) -> list[Seen]:
        """Files of its name: first where it was last, clips before the trash."""
        named = [seen for seen in self._by_name.get(row.file, ()) if seen in self._free]
        if row.identity.stamp is None:
            named = [
                seen
                for seen in named
                if not row.missing and (row.id, seen.path) not in self._strangers
            ]
        return named[::-1] if row.trashed else named

    def _same_stamp(self, row: Row) -> Seen | None:
        known = row.identity.stamp
        return next((s for s in self._named(row) if known in (None, s.stamp)), None)

    def _same_name(self, row: Row) -> Seen | None:
        for seen in self._named(row):
            with contextlib.suppress(OSError):
                if row.identity.fits(seen.path, seen.stamp):
                    return seen
        return None

    def _renamed(self, row: Row) -> Seen | None:
        if row.identity.stamp is None:
            return None
        found = [s for s in self._by_stamp.get(row.identity.stamp, ()) if s in self._free]
        if row.identity.digest is not None:
            found = [seen for seen in found if self._digest(seen) == row.identity.digest]
        elif len(found) > 1:
            return None
        return next(iter(found), None)

    def _same_bytes(self, row: Row) -> Seen | None:
        stamp, digest = row.identity.stamp, row.identity.digest
        if stamp is None or digest is None:
            return None
        sized = (seen for seen in self._by_size.get(stamp[1], ()) if seen in self._free)
        return next((seen for seen in sized if self._digest(seen) == digest), None)

    def _digest(self, seen: Seen) -> str:
        if seen not in self._digests:
            self._digests[seen] = ""
            with contextlib.suppress(OSError):
                self._digests[seen] = sha256_of(seen.path)
        return self._digests[seen]
