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
        request.prompt if receipt is None else Path(place).name,
        receipt,
        job.embed,
        own,
        job.machine,
    )
