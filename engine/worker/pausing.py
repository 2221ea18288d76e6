"""What a pause does in a lane: its worker ends, so that the device's memory is free for others."""

import logging
from functools import partial

from engine import logs
from engine.jobs import Jobs
from engine.pause import Paused
from engine.text import NOTHING
from engine.worker.deferred import DeferredWrites
from engine.worker.outcomes import Outcomes
from engine.worker.process import WorkerProcess
from engine.worker.slot import WorkerSlot
from engine.worker.status import StatusBoard

log = logging.getLogger("headroom.supervisor")


class Pausing:
    """Called by the supervisor's thread only."""

    def __init__(
        self,
        jobs: Jobs,
        slot: WorkerSlot,
        outcomes: Outcomes,
        deferred: DeferredWrites,
        board: StatusBoard,
    ) -> None:
        self._jobs, self._slot, self._outcomes = jobs, slot, outcomes
        self._deferred, self._board = deferred, board

    def holds(self) -> bool:
        """Whether the queue is paused. Then a worker without a job is ended, at once one that loads
        or, where that was asked for, one with a job; a model that is typed for may be loaded anew
        afterwards."""
        paused = self._jobs.pause.get()
        if not paused:
            return False
        self._slot.has_loaded = False
        if self._board.status.waiting_for:
            self._board.tell(waiting_for=NOTHING)
        worker = self._slot.worker
        if worker is not None and (
            worker.job is None or (paused is Paused.NOW and _says_nothing(worker))
        ):
            log.info("paused")
            self.let_go(worker)
        return True

    def let_go(self, worker: WorkerProcess) -> None:
        """End ``worker``; its job waits again, and this attempt isn't counted."""
        job = worker.job
        if job is not None:
            worker.kill()  # it wouldn't hear a kind word before the clip's end
        self._slot.end(worker)
        # A job that can't be put back now, as the program ends, is found running at the next start,
        # and its clip, if it was whole: then the name that it was to get is written down.
        if job is not None and not self._deferred:
            self._deferred.do(partial(self._put_back, job.id))
        logs.about(None)

    def _put_back(self, job: int) -> None:
        self._jobs.put_back(job)
        self._outcomes.keeping.discard(job)


def _says_nothing(worker: WorkerProcess) -> bool:
    """Whether nothing of it is unread: its clip may have been finished this moment, or it died."""
    try:
        return not worker.pipe.poll()
    except OSError:
        return False
