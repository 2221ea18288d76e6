"""Steps that the database refused (locked, full, damaged), or that met an error nobody expected:
kept, and tried again in their order.

Whatever it was, the supervisor's thread goes on, and no clip or job's end is lost to it.
"""

import logging
from collections import deque
from collections.abc import Callable

from engine.store import Damaged, StoreError
from engine.text import Text, joined

log = logging.getLogger("headroom.supervisor")

MEANWHILE = Text("worker.kept_meanwhile")
AGAIN = Text("worker.database_answers")
MOST_TRIES = 6  # of a step that meets an unexpected error each time: then its job is settled


class DeferredWrites:
    """Called by the supervisor's thread only.

    Args:
        tell: shows it on the page.
        give_up: hears the error of a step that isn't tried any more.
    """

    def __init__(self, tell: Callable[[Text], None], give_up: Callable[[Exception], None]) -> None:
        self._tell, self._give_up = tell, give_up
        self._steps: deque[Callable[[], None]] = deque()
        self._told: Text | None = None
        self._within, self._tries = 0, 0

    def __bool__(self) -> bool:
        return bool(self._steps)

    def do(self, step: Callable[[], None]) -> None:
        """Take ``step``, or owe it: it must bear to be taken once more from its beginning.

        Raises:
            Exception: one that nobody expected; then it is owed as well, with what it is part of.
        """
        self._within += 1
        try:
            step()
        except StoreError as error:
            self._steps.append(step)
            self.trouble(error)
        except Exception:
            if self._within == 1:
                self._steps.append(step)
            raise
        finally:
            self._within -= 1

    def pay(self) -> bool:
        """Take what is owed, in order; whether all of it is done.

        Raises:
            Exception: as ``do``.
        """
        while self._steps:
            self._within += 1
            try:
                self._steps[0]()
            except StoreError as error:
                self.trouble(error)
                return False
            except Exception as error:
                self._tries += 1
                if self._tries >= MOST_TRIES:
                    self._give_up(error)
                    self._tries = 0
                    self._steps.popleft()
                raise
            finally:
                self._within -= 1
            self._tries = 0
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
