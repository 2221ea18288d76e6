"""What a worker is told of a job that begins."""

from pathlib import Path

from engine.guard.guard import Guard
from engine.jobs import Job
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.worker.keeping import Keeping
from engine.worker.messages import Change, Generate


def order_of(
    job: Job, keeping: Keeping, presets: Presets, plans: Plans, guard: Guard
) -> Generate | Change:
    """For the clip of ``job``, be it made or changed.

    Raises:
        PlanError: this machine can't do it any more.
    """
    request = job.request
    partial, poster = map(str, keeping.partial(job.id))
    place, receipt = keeping.before(job)
    # Another machine's own clips name this one; those of its visitors tell nothing of either.
    own = job.visitor == "" or job.machine != ""
    if request.source is None:
        return Generate(
            job.id,
            request,
            job.seed,
            partial,
            poster,
            guard.budget(request.model),
            job.embed,
            own,
            place,
            receipt,
            job.machine,
        )
    return Change(
        job.id,
        request,
        job.seed,
        presets.models[request.model],
        plans.plan(request.model),
        partial,
        poster,
        place,
        _called(job, place, receipt is not None),
        receipt,
        job.embed,
        own,
        job.machine,
    )


def _called(job: Job, place: str, is_clip: bool) -> str:
    """What the owner calls the file that ``job`` changes. Of another machine's clip only that one
    knows the name."""
    if job.errand:
        return ""
    return Path(place).name if is_clip else job.request.prompt
