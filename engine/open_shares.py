"""Which shares are open, in whichever process: no visitor's job begins without one.

A share holds a lock of its own in the data folder for as long as it is open. The system lets go of
it when its process ends, however that ends, and the database has no part in it: it may be held by
another program at that very moment. What can't be told counts as over.
"""

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from engine.errors import HeadroomError
from engine.home import Home
from engine.text import Text

NAME = re.compile(r"(\d{1,12})-[0-9a-f]{12}")


class NotNoted(HeadroomError):
    """A share can't be opened, for nobody could tell that it is open."""


class OpenShare:
    """``id`` begins with the second, since 1970, in which it ends at the latest."""

    def __init__(self, id: str, lock: FileLock, file: Path) -> None:
        self.id, self._lock, self._file = id, lock, file

    def close(self) -> None:
        """Nothing of its visitors is begun from now on. Does nothing a second time."""
        with contextlib.suppress(OSError):
            self._lock.release()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)


class OpenShares:
    """Looks into the folder ``home.shares``; one for each queue."""

    def __init__(self, home: Home, wall: Callable[[], float] = time.time) -> None:
        self._folder, self._wall = home.shares, wall
        # Looking takes the lock for a moment, in which somebody else would find it held.
        self._looking = threading.Lock()

    def open(self, seconds: float) -> OpenShare:
        """Note a share that lasts ``seconds`` at the most.

        Raises:
            NotNoted: the folder can't be written to.
        """
        id = f"{int(self._wall() + seconds) + 1}-{secrets.token_hex(6)}"
        file = self._folder / id
        lock = FileLock(file, is_singleton=False, thread_local=False)
        try:
            self._folder.mkdir(exist_ok=True)  # never all of what somebody moved away
            lock.acquire(timeout=0)
        except (OSError, Timeout) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NotNoted(
                Text("jobs.share_not_noted", folder=str(self._folder), why=why),
                Text("jobs.make_share_folder_writable"),
            ) from error
        return OpenShare(id, lock, file)

    def has(self, visitor: str) -> bool:
        """Whether the share that ``visitor``, a job's, came through is open.

        Asked by two processes at once it may say yes of one that is over: who acts on a yes asks
        within a transaction of the queue's database.
        """
        share = visitor.partition(".")[0]
        found = NAME.fullmatch(share)
        if found is None or self._wall() >= int(found[1]):
            return False
        file = self._folder / share
        with self._looking:
            try:
                if not file.is_file():
                    return False
                with FileLock(file, is_singleton=False).acquire(timeout=0):
                    file.unlink(missing_ok=True)  # its process is gone
            except Timeout:
                return True
            except OSError:
                return False
        return False
