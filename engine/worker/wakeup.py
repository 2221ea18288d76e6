"""Wakes the supervisor's thread from any other, while it waits for a worker's pipe as well."""

import contextlib
import multiprocessing
import threading
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait


class Wakeup:
    """``call`` from any thread, also from a signal; ``wait`` from one."""

    def __init__(self) -> None:
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._calling = threading.RLock()  # a signal may come to whoever holds it, and call

    def call(self) -> None:
        # Windows' pipes refuse two senders at once.
        with self._calling, contextlib.suppress(OSError):
            self._wake.send_bytes(b"!")

    def wait(self, others: Iterable[Connection | int], seconds: float) -> list[object]:
        """Which of ``others`` have something to say, after a call or at most ``seconds``."""
        happened = wait([self._woken, *others], timeout=seconds)
        if self._woken in happened:
            self._woken.recv_bytes()
        return [one for one in happened if one is not self._woken]
