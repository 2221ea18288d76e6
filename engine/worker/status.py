"""What the engine is doing, as one value that the page and the commands read."""

import time
from dataclasses import dataclass, replace
from enum import StrEnum

from engine.request import Size
from engine.text import NOTHING, Text
from engine.worker.progress import Progress


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
    """The status that the supervisor's thread writes and everybody reads."""

    def __init__(self) -> None:
        self.status = Status()

    def tell(self, **changes: object) -> None:
        """Change fields of the status; a notice gets the time."""
        if "notice" in changes:
            changes["notice_at"] = time.time()
        # Readers get the old or the new object, never half of one.
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
