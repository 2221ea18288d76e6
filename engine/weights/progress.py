"""How far a download or a verification is, in a small file that any process can read.

The page, a second command and a page opened tomorrow all follow the one process that works.
"""

import contextlib
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import psutil

from engine.units import size_text
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
    told: str = ""
    remedy: str = ""
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
            write_json(folder / OURS / NAME, asdict(replace(self, at=time.time())))

    @classmethod
    def load(cls, folder: Path) -> "DownloadProgress | None":
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return cls.parse((folder / OURS / NAME).read_text(encoding="utf-8"))
        return None

    @classmethod
    def parse(cls, text: str) -> "DownloadProgress":
        told = json.loads(text)
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


def progress_text(progress: DownloadProgress) -> str:
    """How far it is: "61 %, 13.6 GB of 22.3 GB, 45.0 MB/s, about 3 min left"."""
    if progress.phase == "asking" or not progress.total:
        verifying = progress.what == "verify"
        return "Looking at the files." if verifying else "Asking the hub what there is."
    did = " checked" if progress.phase == "checking" else ""
    parts = [
        f"{progress.percent} %{did}",
        f"{size_text(progress.done)} of {size_text(progress.total)}",
    ]
    if progress.rate > 0:
        parts.append(f"{size_text(round(progress.rate))}/s")
    if progress.left is not None:
        parts.append(f"about {_time_text(progress.left)} left")
    return f"{', '.join(parts)}. {progress.told}" if progress.told else ", ".join(parts)


def _time_text(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
