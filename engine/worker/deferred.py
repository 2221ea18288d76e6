"""Writes that the database refused (locked, full, damaged), kept and tried again in their order.

Whatever holds the database, the supervisor's thread goes on, and no clip or job's end is lost to
it.
"""

import logging
from collections import deque
from collections.abc import Callable

from engine.store import Damaged, StoreError
from engine.text import Text, joined

log = logging.getLogger("headroom.supervisor")

MEANWHILE = Text("worker.kept_meanwhile")
AGAIN = Text("worker.database_answers")


class DeferredWrites:
    """Called by the supervisor's thread only.

    Args:
        tell: shows it on the page.
    """

    def __init__(self, tell: Callable[[Text], None]) -> None:
        self._tell = tell
        self._steps: deque[Callable[[], None]] = deque()
        self._told: Text | None = None

    def __bool__(self) -> bool:
        return bool(self._steps)

    def do(self, step: Callable[[], None]) -> None:
        """Take ``step``, or owe it: it must bear to be taken once more from its beginning."""
        try:
            step()
        except StoreError as error:
            self._steps.append(step)
            self.trouble(error)

    def pay(self) -> bool:
        """Take what is owed, in order; whether all of it is done."""
        while self._steps:
            try:
                self._steps[0]()
            except StoreError as error:
                self.trouble(error)
                return False
            self._steps.popleft()
        return True

    def trouble(self, error: StoreError) -> None:
        """Say once what is wrong."""
        if error.sentence != self._told:
            self._told = error.sentence
            log.warning("%s", error)
            goes_on = not isinstance(error, Damaged)
            self._tell(joined(error.text, MEANWHILE) if goes_on else error.text)

    def fine(self) -> None:
        """A turn went well."""
        if self._told is not None and not self._steps:
            self._told = None
            log.warning("the database answers again")
            self._tell(AGAIN)
