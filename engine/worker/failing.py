"""What the worker says of an error, and of frames that aren't what was asked for."""

import contextlib
import logging
from pathlib import Path
from typing import Literal

from engine.errors import HeadroomError
from engine.pipelines.base import Broken, Cancelled, OutOfMemory, PipelineError
from engine.request import ClipRequest
from engine.stages import Frames, Stage
from engine.text import Text
from engine.worker.job_run import JobRun
from engine.worker.messages import CancelDone, Change, Failed, Generate

log = logging.getLogger("headroom.worker")


def failure(job: int | None, error: Exception, stage: Stage | None = None) -> Failed:
    """``error`` in the user's words. ``job``: None while loading; ``stage``: where it was."""
    if isinstance(error, OutOfMemory):
        return Failed(job, "out_of_memory", error.sentence, error.remedy, stage, error.memory)
    if isinstance(error, MemoryError):
        return Failed(
            job,
            "out_of_memory",
            Text("worker.ram_ran_out"),
            Text("worker.close_or_smaller"),
            stage,
            "RAM",
        )
    if isinstance(error, HeadroomError):
        kind: Literal["error", "broken"] = "broken" if isinstance(error, Broken) else "error"
        return Failed(job, kind, error.sentence, error.remedy, stage)
    if isinstance(error, OSError) and stage == "save":
        return Failed(
            job,
            "error",
            Text("worker.cant_write", why=str(error.strerror or error)),
            Text("worker.make_room"),
        )
    return Failed(
        job,
        "error",
        Text("worker.pipeline_failed", error=type(error).__name__, why=str(error)),
        Text("worker.generate_or_report"),
    )


def ended_early(order: Generate | Change, run: JobRun, error: Exception) -> CancelDone | Failed:
    """The answer to ``order``, of which nothing is left: it was cancelled, or failed."""
    for path in (order.partial, order.poster) if run.may_write else ():
        # Windows doesn't remove a file that anybody has open; the next start does.
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)
    if isinstance(error, Cancelled):
        return CancelDone(order.job)
    log.error("failed", exc_info=error)
    return failure(order.job, error, run.reached)


def check_frames(frames: Frames, request: ClipRequest) -> None:
    """Raises PipelineError: they aren't what ``request`` asked for."""
    wanted = (request.frames, request.height, request.width, 3)
    if frames.shape != wanted or frames.dtype.name != "uint8":
        raise PipelineError(
            Text(
                "worker.wrong_frames",
                dtype=str(frames.dtype),
                shape=str(frames.shape),
                wanted=str(wanted),
            ),
            Text("worker.report_with_log"),
        )
