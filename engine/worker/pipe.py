"""The worker's end of the pipe: it hears orders, and says what happens and that it lives."""

import logging
import multiprocessing
import os
import queue
import threading
import time
from multiprocessing.connection import Connection

from engine.pipelines.base import Pipeline, StageMeter
from engine.process.loops import Loop, Name
from engine.text import Text
from engine.worker.early import Early
from engine.worker.messages import (
    Ahead,
    Become,
    Cancel,
    Change,
    Compare,
    Fault,
    Forget,
    FromWorker,
    Generate,
    Heartbeat,
    Probe,
    Stop,
    ToWorker,
)

HEARTBEAT_SECONDS = 1.0
LONGEST_PAUSE = 5.0  # of its loops: a beat that is left out for long looks as if it hung

log = logging.getLogger("headroom.worker")


class Pipe:
    """The worker's end: sends from several threads, receives on one of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.jobs: queue.Queue[Early | Generate | Change | Probe | Compare | Become | Stop]
        self.jobs = queue.Queue()
        self._early: Early | None = None  # nobody has claimed it yet
        self.cancelled = 0  # the job that the user cancelled last; ids start at 1
        self.pipeline: Pipeline | None = None
        for loop in (self._receive, self._beat):
            threading.Thread(target=loop, name=loop.__name__, daemon=True).start()

    def send(self, message: FromWorker) -> None:
        with self._lock:
            try:
                self._connection.send(message)
            except OSError as error:
                if self._is_over(error):
                    self._orphaned()
                raise

    def _receive(self) -> None:
        loop = Loop("orders", self._tell, LONGEST_PAUSE)
        while True:
            with loop.turn():
                try:
                    message: ToWorker = self._connection.recv()
                except (EOFError, OSError) as error:
                    if self._is_over(error):
                        self._orphaned()
                    raise
                self._hear(message)
            time.sleep(loop.pause)

    def _hear(self, message: ToWorker) -> None:
        if isinstance(message, Cancel):
            self.cancelled = message.job
            return
        early, self._early = self._early, None
        if early is not None and early.is_asked_by(message):
            early.claim()
            return
        if early is not None:
            early.drop()
        if isinstance(message, Ahead):
            self._early = Early(message.order)
            self.jobs.put(self._early)
        elif not isinstance(message, Forget):
            self.jobs.put(message)

    def _beat(self) -> None:
        loop = Loop("beat", self._tell, LONGEST_PAUSE)
        while True:
            with loop.turn():
                self.beat()
            time.sleep(loop.pause or HEARTBEAT_SECONDS)

    def _tell(self, loop: Name, said: Text) -> None:
        self.send(Fault(loop, said))

    def _is_over(self, error: BaseException) -> bool:
        """Whether the pipe's other end is gone; a system short of something says OSError, too."""
        parent = multiprocessing.parent_process()
        ended = parent is not None and not parent.is_alive()
        return ended or self._connection.closed or isinstance(error, EOFError | ConnectionError)

    def beat(self) -> None:
        """Say that this process lives, and what device memory it holds."""
        # A pipeline has its meter as soon as it holds anything, long before it is loaded.
        meter: StageMeter | None = getattr(self.pipeline, "meter", None)
        held = None
        if meter is not None:
            try:
                held = meter.held()
            except Exception:  # a beat that is left out would look as if the interpreter hung
                log.exception("the device memory held could not be read")
        self.send(Heartbeat(held))

    def answer(self, message: FromWorker) -> None:
        """The end of an order, after what is held from now on."""
        self.beat()
        self.send(message)

    def _orphaned(self) -> None:
        # The page's process is gone. No orphan may hold the memory, whatever the main thread does.
        os._exit(0)
