"""Keeps a worker at the queue: starts and feeds it, passes cancels on, replaces it when it dies.

One thread does all of that; what others may know of it is its ``status``.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

from engine import logs
from engine.guard.guard import Guard
from engine.home import Home
from engine.jobs import CANCELLED, TRY_SMALLER, Job, Jobs, State
from engine.machine.memory import MemorySample
from engine.machine.recorder import FlightRecorder
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.process import loops
from engine.process.loops import Faults, Loop, described
from engine.process.patience import waited
from engine.request import Size
from engine.store import StoreError
from engine.text import NOTHING, Text, joined
from engine.worker import messages
from engine.worker.deferred import DeferredWrites
from engine.worker.dispatch import Dispatch
from engine.worker.next_clip import NextClip
from engine.worker.outcomes import Outcomes
from engine.worker.pausing import Pausing
from engine.worker.process import WorkerProcess
from engine.worker.progress import Progress
from engine.worker.queue_lock import QueueLock
from engine.worker.replacement import Replacement
from engine.worker.second_look import Refusal, Waits
from engine.worker.slot import WorkerSlot
from engine.worker.status import EngineState, Status, StatusBoard
from engine.worker.wakeup import Wakeup

log = logging.getLogger("headroom.supervisor")

CLOSE_SECONDS = 3.0  # with what the page needs, Ctrl-C is done within 5
POLL_SECONDS = 0.5  # another process may queue or cancel jobs in the same database
LONGEST_PAUSE = 5.0  # after an error that nobody expected: somebody may wait for a clip


class Supervisor:
    """See the module's docstring. ``start`` and ``close`` frame its life.

    Args:
        lane: the name of the device's lane.
        look: samples its memory.
        dispatch: says which job is this lane's.
        queue: the lock that the lanes of this process share.
        faults: where the page looks for what its thread ran into.
    """

    def __init__(
        self,
        lane: str,
        home: Home,
        presets: Presets,
        jobs: Jobs,
        plans: Plans,
        guard: Guard,
        recorder: FlightRecorder,
        look: Callable[[], MemorySample],
        dispatch: Dispatch,
        queue: QueueLock,
        faults: Faults,
    ) -> None:
        self._lane, self._queue, self._faults = lane, queue, faults
        self._loop = Loop("supervisor", faults.tell, LONGEST_PAUSE)
        self.presets, self.jobs = presets, jobs
        self.plans, self.guard, self.recorder = plans, guard, recorder
        self._board = StatusBoard()
        self._tell, self.dismiss_notice = self._board.tell, self._board.dismiss
        self._slot = WorkerSlot(lane, home, presets, plans, look, self._board)
        self._outcomes = Outcomes(home, jobs, guard, plans, recorder)
        self._deferred = DeferredWrites(
            lambda text: self._tell(notice=text), lambda error: self._replacement.give_up(error)
        )
        self._replacement = Replacement(
            lane, self._slot, self._outcomes, jobs, dispatch, self._board, self._deferred
        )
        self._next = NextClip(
            lane,
            presets,
            jobs,
            plans,
            guard,
            dispatch,
            self._slot,
            self._outcomes,
            self._replacement,
        )
        self.was_out_of_memory = self._outcomes.was_out_of_memory
        self.refuses = self._replacement.refuses
        self.loads_in, self.loading_left = self._slot.loads_in, self._slot.loading_left
        self._pausing = Pausing(jobs, self._slot, self._outcomes, self._deferred, self._board)
        if jobs.store.mended is not None:
            self._tell(notice=jobs.store.mended, lasts=True)
        self._expected: str | None = None
        self._owns = self._at_work = self._shaken = False
        self._closing = threading.Event()
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    # ---- called from any thread ------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self._board.status

    @property
    def has_loaded(self) -> bool:
        """Whether a model was loaded before."""
        return self._slot.has_loaded

    def start(self, warm: str | None = None, only: int | None = None) -> None:
        """Begin to work on the queue (``Engine.start``)."""
        self._replacement.only = only
        if warm is not None:
            self.expect(warm)
        loops.start(self._thread)

    def expect(self, model: str) -> None:
        """Load ``model`` before it is asked for a clip, unless paused (``Engine.expect``)."""
        if not self._slot.has_loaded:
            self._expected = model
            self.nudge()

    def end_soon(self) -> None:
        """Begin what ``close`` waits for: several lanes end side by side."""
        self._closing.set()
        self.nudge()

    def close(self) -> None:
        """End the worker and the thread; a running job is put back into the queue."""
        self.end_soon()
        if self._thread.is_alive():
            waited(self._ended_within, CLOSE_SECONDS)
        worker = self._slot.worker
        if worker is not None:  # the thread is stuck: leave no orphan all the same
            worker.process.kill()

    def _ended_within(self, seconds: float) -> bool:
        self._thread.join(timeout=seconds)
        return not self._thread.is_alive()

    def nudge(self) -> None:
        """There is something new in the queue."""
        self._wakeup.call()

    # ---- the thread -------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                with self._loop.turn():
                    self._step()
                if self._loop.pause:
                    self._shaken = True
                    self._closing.wait(self._loop.pause)
                    self._slot.nobody_listened()
        finally:
            self._shut_down()

    def _step(self) -> None:
        try:
            if self._at_work and not self._queue.still_ours():
                self._replacement.step_aside()
                self._owns = self._at_work = False
                self._queue.give_back()
            if self._at_work or self._take_queue():
                if self._shaken:
                    self._replacement.settle()
                    self._shaken = False
                self._turn()
                self._deferred.fine()
        except StoreError as error:
            self._deferred.trouble(error)
            self._closing.wait(POLL_SECONDS)

    def _take_queue(self) -> bool:
        """Whether this process is the one that works on the queue, and what an earlier one left
        behind is settled: the first lane does that."""
        if not self._owns:
            self._owns = self._queue.take()
        if not self._owns:
            self._tell(state=EngineState.ELSEWHERE)
            self._closing.wait(POLL_SECONDS)
            return False
        if self._deferred:  # the database refused: what is deferred says so, and tries again
            self._deferred.pay()
        elif self._queue.first and not self._queue.recovered.is_set():
            self._deferred.do(self._recover)
        if not self._queue.recovered.is_set():
            self._closing.wait(POLL_SECONDS)
            return False
        self._at_work = True
        self._tell(state=EngineState.OFF)
        return True

    def _recover(self) -> None:
        self._outcomes.recover()
        self._queue.recovered.set()

    def _turn(self) -> None:
        worker = self._slot.worker
        if self._deferred:
            if not self._deferred.pay():
                self._closing.wait(POLL_SECONDS)
                return
            self._slot.nobody_listened()
            worker = self._slot.worker
        if self._pausing.holds():
            self._expected = None
        elif worker is None or (worker.ready and worker.job is None):
            self._feed()
        worker = self._slot.worker
        sources: list[Connection | int] = []
        if worker is not None:
            sources = [worker.pipe, worker.process.sentinel]
        happened = self._wakeup.wait(sources, POLL_SECONDS)
        if worker is None:
            return
        if worker.pipe in happened:
            self._receive(worker)
        elif worker.process.sentinel in happened:
            self._deferred.do(partial(self._replacement.died, worker))
        if self._slot.worker is worker and not self._deferred:
            self._watch(worker)

    # ---- feeding ---------------------------------------------------------------------------

    def _feed(self) -> None:
        """Give the next job to a worker that has its model."""
        self.jobs.cancel_strays()  # whoever ended their share may not have reached the database
        job, worker = self._next.found(), self._slot.worker
        if worker is not None and (job is None or job.id != worker.ahead):
            worker.forget_ahead()
        if job is None:
            if self._expected is not None and not self._slot.has_loaded:
                self._replacement.start(self._expected)
            self._wait_for(NOTHING)
            return
        if not self._may_start(job):
            if worker is not None:
                worker.forget_ahead()
            return
        if worker is not None and not self._slot.fits(worker, job.request.model):
            if self._slot.become(worker, job.request.model):
                return
            # A pipeline can't be unloaded cleanly (pinned memory stays); a fresh process can.
            self._slot.end(worker)
        if self._slot.worker is None:
            self._replacement.start(job.request.model)
        elif claimed := self.jobs.claim(job.id, self._lane):
            self._deferred.do(partial(self._order, self._slot.worker, claimed))

    def _may_start(self, job: Job) -> bool:
        """The guard's second look; who can't run any more is failed with the reason."""
        found = self._next.second_look(job)
        self._wait_for(found.reason if isinstance(found, Waits) else NOTHING)
        if isinstance(found, Refusal) and self.jobs.claim(job.id, self._lane):
            told = found.reason, found.remedy
            self._deferred.do(partial(self.jobs.end, job.id, State.FAILED, *told))
        return found is None

    def _wait_for(self, reason: Text) -> None:
        if reason != self.status.waiting_for:
            self._tell(waiting_for=reason)

    def _order(self, worker: WorkerProcess, job: Job) -> None:
        worker.take(job)
        logs.about(job.id, job.request.prompt)
        log.info("%s of %s at %s begins", job.kind, job.request.model, job.request.size)
        log.debug("prompt: %s", job.request.prompt)
        self._tell(state=EngineState.BUSY, job=job.id, progress=Progress(job.id), preview=None)
        self.recorder.nudge()
        if job.kind == "probe":
            self._climb(worker, job)
            return
        worker.send(self._next.order(job))

    def _climb(self, worker: WorkerProcess, job: Job) -> None:
        """Send the next step of a probe; without one, it has ended."""
        size = self._outcomes.next_step(job, worker.probed)
        if size is None:
            self._idle(worker)
            return
        worker.probing = size
        self._tell(probing=size, progress=Progress(job.id))
        request = replace(job.request, height=size.height, width=size.width, frames=size.frames)
        worker.send(messages.Probe(job.id, request, job.seed, self.guard.budget(job.request.model)))

    # ---- messages --------------------------------------------------------------------------

    def _receive(self, worker: WorkerProcess) -> None:
        try:
            message: messages.FromWorker = worker.pipe.recv()
        except (EOFError, ConnectionError):
            self._deferred.do(partial(self._replacement.died, worker))
            return
        except Exception as error:  # what follows in the pipe can't be told from half a message
            why = Text("worker.garbled", error=described(error))
            self._deferred.do(partial(self._replacement.died, worker, why))
            raise
        worker.hear()
        self._deferred.do(partial(self._handle, worker, message))

    def _handle(self, worker: WorkerProcess, message: messages.FromWorker) -> None:
        job = worker.job
        logs.about(*((job.id, job.request.prompt) if job else (None,)))
        match message:
            case messages.Heartbeat(device_bytes=held):
                if held != self.status.device_bytes:
                    self._tell(device_bytes=held)
            case messages.Ready(label=label, plan=plan, notice=notice):
                worker.ready, worker.plan = True, plan
                self._slot.loaded(worker.preset.id)
                self._tell(state=EngineState.READY, label=label)
                undone = self.plans.adopt_replacements(worker.preset.id, worker.sent, plan)
                if told := joined(*undone, notice):
                    self._tell(notice=told)
            case messages.Fault(loop=loop, said=said):
                self._faults.tell(loop, said)
            case messages.Failed(job=None):
                self._replacement.load_failed(worker, message)
            case messages.Occupied() if job:
                worker.excuse(message)
                self._tell_waiting_cancel(worker)
            case messages.Advance() if job and self.status.progress:
                worker.end_excuse()
                if message.stage != self.status.progress.stage:
                    self.recorder.nudge()
                    if message.stage in ("decode", "save"):
                        self._next.look_ahead(worker, job)
                self._tell(progress=self.status.progress.told(message))
            case messages.Preview(job=of, webp=webp) if job and of == job.id:
                self._tell(preview=webp)
            case messages.Finished() if job:
                self._slot.proved()
                self._outcomes.keep_clip(job, message, worker.plan_of(job))
                self._idle(worker)
            case messages.Probed() if job and worker.probing:
                self._probed(worker, job, worker.probing, message)
            case messages.CancelDone() if job:
                self.jobs.end(job.id, State.CANCELLED, CANCELLED)
                self._idle(worker)
            case messages.Failed() if job:
                self._job_failed(worker, job, message)

    def _probed(
        self, worker: WorkerProcess, job: Job, size: Size, message: messages.Probed
    ) -> None:
        self._slot.proved()
        worker.probed.append(size)
        if self._outcomes.keep_probe(job, size, message, worker.plan):
            self._climb(worker, job)
        else:
            self._idle(worker)

    def _job_failed(self, worker: WorkerProcess, job: Job, message: messages.Failed) -> None:
        ran_out_beside = message.kind == "out_of_memory" and worker.has_two_clips(message.stage)
        if message.kind == "broken" or ran_out_beside:
            self._slot.end(worker)
            self._replacement.after_death(worker, message.sentence, message.remedy or TRY_SMALLER)
            return
        size = worker.probing or job.request.size
        told = self._outcomes.keep_failure(job, size, message, worker.plan_of(job))
        self._idle(worker)
        if message.kind == "out_of_memory":
            # After an out-of-memory nothing in that process can be trusted.
            self._slot.end(worker)
            if told is not None:
                self._tell(notice=joined(told, self._replacement.what_follows()))
            self._replacement.start(worker.preset.id)

    def _idle(self, worker: WorkerProcess) -> None:
        if worker.job is not None:
            ended = self.jobs.get(worker.job.id)
            log.info("%s", ended.state.value)
            if ended.state is State.DONE and ended.kind == "clip":
                self._board.made_well(ended.created)
        logs.about(None)
        worker.drop()
        self._tell(state=EngineState.READY, job=None, progress=None, preview=None, probing=None)

    # ---- the worker's life -----------------------------------------------------------------

    def _watch(self, worker: WorkerProcess) -> None:
        """Pass a cancel on; kill a child that doesn't answer it, or that hangs."""
        why = worker.overdue()
        if why is not None:
            worker.kill()
            self._deferred.do(partial(self._replacement.died, worker, why))
        elif worker.job is not None and worker.cancel_sent is None:
            job = self.jobs.get(worker.job.id)
            if job.cancel_requested or self.jobs.is_stray(job):
                worker.ask_to_cancel(worker.job.id)
                self._tell_waiting_cancel(worker)

    def _tell_waiting_cancel(self, worker: WorkerProcess) -> None:
        if worker.cancel_sent is not None and worker.occupied is not None:
            self._tell(notice=Text("worker.cancel_waits", doing=worker.occupied))

    def _shut_down(self) -> None:
        for step in (self._let_go, self._leave_queue):
            try:
                step()
            except StoreError as error:
                log.warning("%s", error)
            except Exception:  # the end has to come, and the queue goes to others
                log.exception("the engine ended untidily")

    def _let_go(self) -> None:
        if self._slot.worker is not None:
            self._pausing.let_go(self._slot.worker)

    def _leave_queue(self) -> None:
        if self._owns:
            self._queue.give_back()
