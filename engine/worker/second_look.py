"""Whether a job that waited may begin now: memory and measurements may have changed since it was
queued. Pure but for the guard's look at the memory."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.guard.guard import Guard
from engine.guard.verdict import Word
from engine.jobs import Job
from engine.presets import Presets
from engine.text import Said, Text, as_text


@dataclass(frozen=True)
class Refusal:
    """It can't run any more: why, and what to do about it."""

    reason: Text
    remedy: Said


@dataclass(frozen=True)
class Waits:
    """Others hold the memory now, or the drive for clips isn't there."""

    reason: Text


def second_look(
    job: Job,
    lane: str,
    presets: Presets,
    guard: Guard,
    was_out_of_memory: Callable[[Job], bool],
    no_place: Callable[[], Text | None] = lambda: None,
) -> Refusal | Waits | None:
    """None where ``job`` may begin.

    Args:
        lane: the name of the one that would make it.
        was_out_of_memory: whether it waits for its second try, in a smaller way than the first.
        no_place: why a clip couldn't be kept now, if so: nothing is computed for nothing.
    """
    if job.request.model not in presets.models:
        gone = Text("worker.no_such_model", model=job.request.model)
        return Refusal(gone, Text("worker.another_model"))
    if job.wanted not in ("", lane):
        missing = Text("worker.no_such_lane", lane=job.wanted)
        return Refusal(missing, Text("worker.another_lane"))
    if job.kind != "clip":
        return None
    if (why := no_place()) is not None:
        return Waits(why)
    verdict = guard.verdict(job.request.model, job.request.size)
    if verdict.word is Word.BUSY:
        return Waits(as_text(verdict.reason))
    # A second try runs in a smaller way, which nobody can have measured: it was open, and it runs
    # under its ceiling.
    if verdict.open or (verdict.word is Word.LOCKED and was_out_of_memory(job)):
        return None
    closed = Text("worker.closed_meanwhile", verdict=verdict.word.text, reason=verdict.reason)
    return Refusal(closed, verdict.remedy)
