"""A clip's file: what tells it from another of its name, and how it moves without overwriting one.

A name says nothing: people copy, rename and replace files. The same size and time mean the same
file; where they differ, the same bytes do.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.home import Home
from engine.process import moves
from engine.process.own_files import sha256_of

Stamp = tuple[int, int]  # mtime in nanoseconds, size: another of these may be another file

NAME_BYTES = 255  # the longest name that file systems take


@dataclass(frozen=True)
class Identity:
    """What is known of a row's file; ``digest`` (SHA-256) is None where nobody looked."""

    stamp: Stamp | None = None
    digest: str | None = None

    @classmethod
    def of(cls, path: Path) -> "Identity":
        """Both; nothing where the file can't be read."""
        with contextlib.suppress(OSError):
            return cls(stamp_of(path), sha256_of(path))
        return cls()

    def to_row(self) -> tuple[str | None, str | None]:
        """As text: nanoseconds from the year 2262 on are too large for SQLite's integers."""
        return (None if self.stamp is None else f"{self.stamp[0]} {self.stamp[1]}"), self.digest

    @classmethod
    def from_row(cls, stamp: str | None, digest: str | None) -> "Identity":
        changed, _, size = (stamp or "").partition(" ")
        return cls((int(changed), int(size)) if size else None, digest)

    def fits(self, path: Path, stamp: Stamp) -> bool:
        """Whether the file at ``path``, with that ``stamp``, is this one.

        Raises:
            OSError: it has to be read for that, and can't be.
        """
        if self.stamp is None or stamp == self.stamp:
            return True
        if stamp[1] != self.stamp[1]:
            return False
        return self.digest is None or sha256_of(path) == self.digest


UNKNOWN = Identity()


def stamp_of(path: Path) -> Stamp | None:
    """What tells this file from another of its name; None if it is gone."""
    with contextlib.suppress(OSError):
        about = path.stat()
        return about.st_mtime_ns, about.st_size
    return None


def still_of(home: Home, digest: str) -> Path:
    """The picture of the clip with these bytes, whatever its name is. It lies in a folder of our
    own: a picture beside a clip is somebody's, and never touched."""
    return home.stills / f"{digest}.jpg"


def other_names(file: str) -> Iterator[str]:
    """``file`` itself, then names beside it, none longer than file systems take."""
    yield file
    stem, suffix = os.path.splitext(file)
    for count in itertools.count(2):
        tail = f"-{count}{suffix}"
        kept = os.fsencode(stem)[: NAME_BYTES - len(tail)]
        yield kept.decode("utf-8", "ignore") + tail


def move(old: Path, folder: Path, taken: Callable[[str], bool]) -> str:
    """Move the file ``old`` to ``folder``, under its name or the next that is free; returns that.

    Args:
        taken: whether a name belongs to another clip, wherever that lies.

    Raises:
        OSError: it stays where it was.
    """
    for name in other_names(old.name):
        if taken(name):
            continue
        try:
            moves.move(old, folder / name)
        except FileExistsError:
            continue
        return name
    raise AssertionError("names never end")
