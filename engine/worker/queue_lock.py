"""The one process that works on a data folder's queue; all of its lanes share the lock."""

import threading

from filelock import FileLock, Timeout

from engine.home import Home


class QueueLock:
    """Any lane's thread may ask. The last lane that gives it back leaves the queue to others."""

    def __init__(self, home: Home) -> None:
        self._file = home.engine_lock
        self._lock = FileLock(self._file, thread_local=False)
        self._counting = threading.Lock()
        self._holders, self._first = 0, 0
        self.recovered = threading.Event()  # what an earlier process left behind is settled

    def take(self) -> bool:
        """Whether this process has the queue now."""
        with self._counting:
            if self._holders == 0:
                try:
                    self._lock.acquire(timeout=0)
                except Timeout:
                    return False
                self._first = threading.get_ident()
            self._holders += 1
            return True

    @property
    def first(self) -> bool:
        """Whether the caller's thread took it first: then recovering is up to that."""
        return self._first == threading.get_ident()

    def give_back(self) -> None:
        with self._counting:
            self._holders -= 1
            if self._holders == 0:
                self.recovered.clear()
                self._lock.release()

    def is_elsewhere(self) -> bool:
        """Whether another process works on the queue."""
        try:
            with FileLock(self._file, is_singleton=False).acquire(timeout=0):
                return False
        except (Timeout, OSError):  # of the second: the drive is gone, which others say
            return not self._lock.is_locked
