"""The one process that works on a data folder's queue; all of its lanes share the lock."""

import contextlib
import os
import sys
import threading

from filelock import FileLock, Timeout

from engine.home import Home


class QueueLock:
    """Any lane's thread may ask. The last lane that gives it back leaves the queue to others."""

    def __init__(self, home: Home) -> None:
        self._file = home.engine_lock
        self._lock = FileLock(self._file, thread_local=False)
        self._counting = threading.Lock()
        self._holders, self._first, self._inode = 0, 0, 0
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
                self._inode = os.stat(self._file).st_ino
            self._holders += 1
            return True

    @property
    def first(self) -> bool:
        """Whether the caller's thread took it first: then recovering is up to that."""
        return self._first == threading.get_ident()

    def still_ours(self) -> bool:
        """Whether nobody else can have taken the queue meanwhile: a lock whose file was removed
        holds nobody off. It is taken anew then, if that still goes."""
        with self._counting:
            if sys.platform == "win32" or self._holders == 0:
                return True  # it keeps files that are open
            try:
                if os.stat(self._file).st_ino == self._inode:
                    return True
            except OSError:
                if not os.path.isdir(self._file.parent):
                    return True  # of no use to anybody
            fresh = FileLock(self._file, thread_local=False)
            try:
                fresh.acquire(timeout=0)
            except Timeout:
                return False
            with contextlib.suppress(OSError):
                self._lock.release(force=True)
            self._lock, self._inode = fresh, os.stat(self._file).st_ino
            return True

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
