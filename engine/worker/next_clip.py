"""What a lane makes next: whether it may begin now, or even before it is claimed."""

import logging

from engine.guard.guard import Guard
from engine.jobs import Job, Jobs
from engine.plan.choice import PlanError
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.store import StoreError
from engine.worker.dispatch import Dispatch
from engine.worker.messages import Change, Generate
from engine.worker.orders import order_of
from engine.worker.outcomes import Outcomes
from engine.worker.process import WorkerProcess
from engine.worker.replacement import Replacement
from engine.worker.second_look import Refusal, Waits, second_look
from engine.worker.slot import WorkerSlot

log = logging.getLogger("headroom.supervisor")


class NextClip:
    """Called by the supervisor's thread only."""

    def __init__(
        self,
        lane: str,
        presets: Presets,
        jobs: Jobs,
        plans: Plans,
        guard: Guard,
        dispatch: Dispatch,
        slot: WorkerSlot,
        outcomes: Outcomes,
        replacement: Replacement,
    ) -> None:
        self._lane, self._presets, self._jobs = lane, presets, jobs
        self._plans, self._guard, self._dispatch = plans, guard, dispatch
        self._slot, self._outcomes, self._replacement = slot, outcomes, replacement

    def found(self) -> Job | None:
        """The waiting job that is next here; None where all waits for other lanes."""
        return self._dispatch.next_for(self._lane, self._replacement.only)

    def second_look(self, job: Job) -> Refusal | Waits | None:
        """What is against ``job`` now; None where it may begin."""
        was_out_of_memory = self._outcomes.was_out_of_memory
        no_place = self._outcomes.keeping.no_place
        return second_look(job, self._lane, self._presets, self._guard, was_out_of_memory, no_place)

    def order(self, job: Job) -> Generate | Change:
        """What the worker is told of it. Raises PlanError: this machine can't do it any more."""
        return order_of(job, self._outcomes.keeping, self._presets, self._plans, self._guard)

    def look_ahead(self, worker: WorkerProcess, job: Job) -> None:
        """``job`` is nearly computed: have ``worker`` go on with what is next while that is
        written. It stays in the queue meanwhile, where it may be changed, moved or cancelled."""
        # On the processor a clip's frames and its encoder would count into the next one's peaks.
        # A second try goes alone: what was beside it may be what went wrong.
        if worker.preset.runs_on != "nvidia" or worker.ahead is not None or job.attempts > 1:
            return
        try:
            order = self._next_order(worker)
        except (StoreError, PlanError):  # who claims it is told
            order = None
        except Exception:  # what isn't needed may take nothing with it
            log.exception("the next clip can't begin early")
            order = None
        if isinstance(order, Generate):
            worker.begin(order)

    def _next_order(self, worker: WorkerProcess) -> Generate | Change | None:
        then = self.found()
        if then is None or then.kind != "clip" or then.attempts or self._jobs.pause.get():
            return None
        if self.second_look(then) is not None or not self._slot.fits(worker, then.request.model):
            return None
        return self.order(then)
