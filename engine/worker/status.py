"""What the engine is doing, as one value that the page and the commands read."""

from dataclasses import dataclass
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
