"""What becomes of a worker that failed or died, and of its job; whether another takes its place."""

import logging
from functools import partial

from engine import logs
from engine.jobs import TRY_SMALLER, Job, Jobs, State
from engine.plan.choice import PlanError
from engine.process.loops import described
from engine.text import Text, joined
from engine.worker.deferred import DeferredWrites
from engine.worker.dispatch import Dispatch
from engine.worker.messages import Failed
from engine.worker.outcomes import Outcomes
from engine.worker.process import WorkerProcess
from engine.worker.slot import IDLE_DEATHS, WorkerSlot
from engine.worker.status import EngineState, StatusBoard

log = logging.getLogger("headroom.supervisor")


class Replacement:
    """Called by the supervisor's thread only, but for ``refuses``. ``only``: the one job that it
    works on, if set."""

    def __init__(
        self,
        lane: str,
        slot: WorkerSlot,
        outcomes: Outcomes,
        jobs: Jobs,
        dispatch: Dispatch,
        board: StatusBoard,
        deferred: DeferredWrites,
    ) -> None:
        self._lane, self._slot, self._outcomes, self._jobs = lane, slot, outcomes, jobs
        self._board, self._tell, self._deferred = board, board.tell, deferred
        self._dispatch = dispatch
        self.only: int | None = None
        # Jobs whose model can't be loaded here, and that other lanes may make. A later job of it
        # is tried again: what was missing may be there by then.
        self._refused: frozenset[int] = frozenset()

    def refuses(self, job: Job) -> bool:
        """Whether ``job`` is left to other lanes; any thread may ask."""
        return job.id in self._refused

    def start(self, model: str) -> None:
        """Start a worker that loads ``model``; where that can't be, its jobs hear why. While the
        queue is paused, none is started."""
        if self._jobs.pause.get():
            return
        try:
            self._slot.start(model)
        except PlanError as error:
            self._cannot_run(model, error.sentence, error.remedy)

    def what_follows(self) -> Text:
        """After a worker's end: whether there is another now."""
        paused = self._jobs.pause.get()
        return Text("worker.off_while_paused" if paused else "worker.engine_restarted")

    def load_failed(self, worker: WorkerProcess, message: Failed) -> None:
        """``worker`` couldn't load its model: another try, in a smaller way, or the end."""
        self._slot.end(worker)
        model = worker.preset.id
        if message.kind == "out_of_memory":
            told = self._outcomes.fall_back_while_loading(model, message, worker.plan)
            if told is not None and not self._slot.fits(worker, model):
                self._tell(notice=told)
                self.start(model)
                return
        if message.kind == "broken" and self._slot.may_restart():
            self._tell(notice=joined(message.sentence, Text("worker.engine_restarted")))
            self.start(model)
            return
        self._cannot_run(model, message.sentence, message.remedy)

    def died(self, worker: WorkerProcess, overdue: Text | None = None) -> None:
        """The child is gone: settle its job, say what happened, have a fresh one ready."""
        stage = self._board.status.progress.stage if self._board.status.progress else None
        logs.about(*((worker.job.id, worker.job.request.prompt) if worker.job else (None,)))
        why, smaller = overdue, None
        if why is None:
            why = worker.ended_during(stage)
            if worker.was_killed:
                smaller = self._outcomes.killed_for_memory(worker, stage, why)
        why = why if smaller is None else smaller
        log.warning("worker %s: %s", worker.process.pid, why)
        worker.kill()  # if it is still there, it holds memory that the next one needs
        self._slot.forget(worker)
        lost = not worker.ready and smaller is not None
        if lost and not self._slot.fits(worker, worker.preset.id):
            self._tell(notice=why)
            self.start(worker.preset.id)
            return
        if not worker.ready and self._slot.may_restart():
            self._tell(notice=joined(why, Text("worker.restarted")))
            self.start(worker.preset.id)
            return
        if not worker.ready:
            sentence = joined(Text("worker.cant_load", model=worker.preset.name), why)
            self._cannot_run(worker.preset.id, sentence, Text("worker.look_into_log"))
            return
        self.after_death(worker, why)

    def after_death(self, worker: WorkerProcess, why: Text, remedy: Text = TRY_SMALLER) -> None:
        """Settle the job of a ready worker that is no more, and have a fresh one ready."""
        paused = self._jobs.pause.get()
        then = Text("worker.off_while_paused" if paused else "worker.restarted")
        if worker.job is not None:
            self._outcomes.keeping.discard(worker.job.id)
            state = self._jobs.interrupted(worker.job.id, why, remedy)
            if state is State.QUEUED:
                tried = joined(Text("jobs.tried_once_more"), then)
                then = tried if paused else Text("worker.restarted_and_tried")
            elif state is State.FAILED:
                # Sentences of their own: what the job's outcome says the page's notice leaves out.
                then = joined(Text("jobs.given_up"), then)
        elif not self._slot.may_restart():
            self._tell(notice=joined(why, Text("worker.stays_off", times=IDLE_DEATHS)))
            return
        self._tell(notice=joined(why, then))
        self.start(worker.preset.id)

    def give_up(self, error: Exception) -> None:
        """A step fails each time that it is tried: end its worker; ``settle`` is for its job."""
        log.error("a step was given up after %s", type(error).__name__)
        self._tell(notice=Text("worker.step_given_up", error=described(error)))
        worker = self._slot.worker
        if worker is not None:
            worker.kill()
            self._slot.forget(worker)

    def step_aside(self) -> None:
        """Another process took the queue, and settled what ran here as if this one had ended."""
        log.warning("another process has taken the queue")
        if self._slot.worker is not None:
            self._slot.worker.kill()
            self._slot.forget(self._slot.worker)

    def settle(self) -> None:
        """After an error that nobody expected: a job that runs and that no worker has would run for
        ever."""
        job, worker = self._jobs.running(self._lane), self._slot.worker
        has_it = self._deferred or (worker is not None and worker.job is not None)
        if job is not None and not has_it and not self._outcomes.keeping.complete_move(job):
            self._outcomes.keeping.discard(job.id)
            self._jobs.interrupted(job.id, Text("worker.lost_track"))

    def _cannot_run(self, model: str, sentence: Text, remedy: Text) -> None:
        self._tell(state=EngineState.FAILED, notice=joined(sentence, remedy))
        self._fail_waiting(model, sentence, remedy)

    def _fail_waiting(self, model: str, sentence: Text, remedy: Text) -> None:
        """No job of ``model`` can run: say so on each, instead of trying for ever."""
        for job in self._jobs.waiting():
            mine = self.only in (None, job.id) and job.wanted in ("", self._lane)
            if not mine or job.request.model != model:
                continue
            if self._dispatch.has_other(job, self._lane):
                self._refused |= {job.id}
            elif self._jobs.claim(job.id, self._lane):
                self._deferred.do(partial(self._jobs.end, job.id, State.FAILED, sentence, remedy))
