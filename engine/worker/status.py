"""What the engine is doing, as one value that the page and the commands read."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from engine.request import Size
from engine.store import timestamp
from engine.text import NOTHING, Text
from engine.worker.progress import Progress

NOTICE_SECONDS = 600.0  # nobody reads an older one as news


class EngineState(StrEnum):
    """What the engine is doing, as the page shows it."""

    OFF = "off"
    ELSEWHERE = "elsewhere"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """One consistent look at the engine. ``notice`` tells the last thing that went wrong,
    ``waiting_for`` why the next job can't start yet, ``device_bytes`` what device memory the worker
    says it holds."""

    state: EngineState = EngineState.OFF
    model: str = ""
    label: Text = NOTHING
    worker_pid: int | None = None
    device_bytes: int | None = None
    job: int | None = None
    progress: Progress | None = None
    preview: bytes | None = None
    probing: Size | None = None
    waiting_for: Text = NOTHING
    notice: Text = NOTHING
    notice_at: float = 0.0


class StatusBoard:
    """The status that the supervisor's thread writes and everybody reads.

    A notice ends: with the next clip that is asked for and made, after ``NOTICE_SECONDS``, or when
    somebody dismisses it. One that says why the engine can't start stays as long as that is so.

    Args:
        clock: seconds, for how long a notice stands.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._status = clock, Status()
        self._noticed = 0.0
        self._lasts = False
        self._dismissed = 0.0  # the ``notice_at`` that somebody has read

    @property
    def status(self) -> Status:
        """As it is now, without a notice that has ended."""
        status = self._status
        if status.notice and self._has_ended(status):
            return replace(status, notice=NOTHING, notice_at=0.0)
        return status

    def _has_ended(self, status: Status) -> bool:
        if status.notice_at <= self._dismissed:
            return True
        if self._lasts or status.state is EngineState.FAILED:
            return False
        return self._clock() - self._noticed > NOTICE_SECONDS

    def tell(self, *, lasts: bool = False, **changes: object) -> None:
        """Change fields of the status; a notice gets the time.

        Args:
            lasts: the notice is of a loss, and stays until it is dismissed.
        """
        if "notice" in changes:
            self._noticed, self._lasts = self._clock(), lasts
            # Two within one tick of the clock are two, or the second went with the first.
            changes["notice_at"] = max(time.time(), self._status.notice_at + 0.001)
        # Readers get the old or the new object, never half of one.
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]

    def made_well(self, asked: str) -> None:
        """A clip was made: what was told before somebody asked for it is over. A clip that was
        waiting by then, or is made at its second try, is what the notice is about.

        Args:
            asked: when, as the store keeps it.
        """
        if self._lasts or not self._status.notice:
            return
        if asked > timestamp(self._status.notice_at):
            self._status = replace(self._status, notice=NOTHING, notice_at=0.0)

    def dismiss(self, notice_at: float) -> None:
        """Somebody has read the notice of that time; a later one stays. From any thread."""
        self._dismissed = max(self._dismissed, min(notice_at, self._status.notice_at))
