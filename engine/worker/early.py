"""A clip that is begun before it is claimed: beside the writing of the one before."""

import threading
from collections.abc import Callable
from dataclasses import replace

from engine.pipelines.base import Cancelled
from engine.worker.messages import FromWorker, Generate, ToWorker


class Early:
    """Nothing is told of it until it is claimed. If something else comes instead it was never
    begun.

    ``order`` is what will be asked for. Who is at work on it asks ``claimed`` and ``dropped``; the
    thread that hears the supervisor says which it is.
    """

    def __init__(self, order: Generate) -> None:
        self.order = order
        self.claimed = self.dropped = False
        self.on_claim: Callable[[], None] = lambda: None
        self._settled = threading.Event()

    def is_asked_by(self, message: ToWorker) -> bool:
        """Whether ``message`` asks for just this. The budget may be another one by then: what is
        computed runs within the one that it was begun with."""
        if not isinstance(message, Generate):
            return False
        return replace(message, ceiling=self.order.ceiling) == self.order

    def claim(self) -> None:
        self.claimed = True
        self._settled.set()
        self.on_claim()

    def drop(self) -> None:
        self.dropped = True
        self._settled.set()

    def wait(self) -> None:
        """Until it is known which it is.

        Raises:
            Cancelled: it was dropped.
        """
        self._settled.wait()
        if self.dropped:
            raise Cancelled


class Told:
    """What is told of one job: at once, or where that is ``early`` once it is claimed."""

    def __init__(self, send: Callable[[FromWorker], None], early: Early | None) -> None:
        self._send, self._early = send, early
        self._lock = threading.Lock()
        self._kept: list[FromWorker] = []
        if early is not None:
            early.on_claim = self._catch_up

    def __call__(self, message: FromWorker, starts: bool = False) -> None:
        """Send it. Of what nobody may hear yet the last one that ``starts`` something is kept, and
        what came after it."""
        with self._lock:
            if self._early is None or self._early.claimed:
                self._send_kept()  # whichever thread is first: in their order
                self._send(message)
            else:
                self._kept = [message] if starts else [*self._kept, message]

    def _catch_up(self) -> None:
        with self._lock:
            self._send_kept()

    def _send_kept(self) -> None:
        for message in self._kept:
            self._send(message)
        self._kept = []
