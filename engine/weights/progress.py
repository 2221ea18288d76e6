"""How far a download or a verification is, in a small file that any process can read.

The page, a second command and a page opened tomorrow all follow the one process that works.
"""

import contextlib
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.text import NOTHING, FileSize, Text, from_row, to_row
from engine.weights.manifest import OURS, write_json

NAME = "progress.json"
PAUSE = "pause"  # a file of this name asks the working process to end
FRESH_SECONDS = 10.0
RATE_SECONDS = 10.0

Phase = Literal["asking", "checking", "fetching", "paused", "done", "failed"]
WORKING: frozenset[Phase] = frozenset({"asking", "checking", "fetching"})


@dataclass(frozen=True)
class FileProgress:
    """One file: bytes that are here, of all."""

    path: str
    done: int
    bytes: int


@dataclass(frozen=True)
class DownloadProgress:
    """One look at the work. ``done`` of ``total`` bytes; ``rate`` in bytes a second, ``left`` in
    seconds. ``told`` and ``remedy``: why it waits, or how it ended; ``damaged``: files that a
    verification found wrong, ``unknown``: those that nobody promised anything about."""

    phase: Phase
    what: Literal["pull", "verify"] = "pull"
    done: int = 0
    total: int = 0
    rate: float = 0.0
    left: float | None = None
    fetched: int = 0
    files: tuple[FileProgress, ...] = ()
    told: Text = NOTHING
    remedy: Text = NOTHING
    damaged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    pid: int = 0
    at: float = 0.0

    @property
    def working(self) -> bool:
        """Whether a process is at it now. One that was killed stops writing."""
        fresh = abs(time.time() - self.at) < FRESH_SECONDS
        return self.phase in WORKING and fresh and psutil.pid_exists(self.pid)

    @property
    def percent(self) -> int:
        """Rounded down: 100 means all of it."""
        return 100 * self.done // self.total if self.total else 0

    def save(self, folder: Path) -> None:
        """Best effort: on a full disk the work itself tells what is wrong."""
        with contextlib.suppress(OSError):
            write_json(folder / OURS / NAME, replace(self, at=time.time()).to_json())

    @classmethod
    def load(cls, folder: Path) -> "DownloadProgress | None":
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return cls.parse((folder / OURS / NAME).read_text(encoding="utf-8"))
        return None

    def to_json(self) -> dict[str, Any]:
        """What ``parse`` reads: its texts as rows keep them."""
        return asdict(self) | {"told": to_row(self.told), "remedy": to_row(self.remedy)}

    @classmethod
    def parse(cls, text: str) -> "DownloadProgress":
        """A version before this one wrote plain English; it stays as it is."""
        told = json.loads(text)
        told["told"], told["remedy"] = from_row(str(told["told"])), from_row(str(told["remedy"]))
        told["files"] = tuple(FileProgress(**entry) for entry in told["files"])
        told["damaged"], told["unknown"] = tuple(told["damaged"]), tuple(told["unknown"])
        return cls(**told)


@dataclass
class Pace:
    """Bytes a second over the last few seconds, and the time left from it."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, done: int, now: float) -> float:
        self.seen.append((now, done))
        while now - self.seen[0][0] > RATE_SECONDS:
            self.seen.popleft()
        begun, before = self.seen[0]
        return max(0.0, (done - before) / (now - begun)) if now > begun else 0.0


def progress_text(progress: DownloadProgress) -> Text:
    """How far it is: "61 %, 13.6 GB of 22.3 GB, 45.0 MB/s, about 3 min left"."""
    if progress.phase == "asking" or not progress.total:
        return Text("weights.looking" if progress.what == "verify" else "weights.asking")
    rate, left = NOTHING, NOTHING
    if progress.rate > 0:
        rate = Text("weights.rate", size=FileSize(round(progress.rate)))
    if progress.left is not None:
        left = Text("weights.left", time=_time_text(progress.left))
    so_far = Text(
        "weights.so_far_checked" if progress.phase == "checking" else "weights.so_far",
        percent=progress.percent,
        done=FileSize(progress.done),
        total=FileSize(progress.total),
        rate=rate,
        left=left,
    )
    if progress.told:
        return Text("weights.so_far_and", so_far=so_far, told=progress.told)
    return so_far


def _time_text(seconds: float) -> Text:
    if seconds < 90:
        return Text("weights.seconds", count=seconds)
    if seconds < 5400:
        return Text("weights.minutes", count=seconds / 60)
    return Text("weights.hours", count=seconds / 3600)
