"""Whether somebody set the computer's clock, by which the trash is emptied."""

import contextlib
import time
from datetime import timedelta


class Clock:
    """It begins when it is made."""

    def __init__(self) -> None:
        self._began = (time.time(), _steady())

    def was_set(self) -> bool:
        """Whether it was, by more than a day: one that jumps ahead must not end what was promised
        for days."""
        wall, steady = time.time() - self._began[0], _steady() - self._began[1]
        return abs(wall - steady) > timedelta(days=1).total_seconds()


def _steady() -> float:
    """Seconds that nobody sets, those included that the computer slept: ``time.monotonic`` leaves
    them out on Linux and macOS, and a few nights would look like a clock that was moved."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux; macOS, whose own counts sleep
        if hasattr(time, name):
            with contextlib.suppress(OSError):  # an old kernel's, or a sandbox's
                return time.clock_gettime(getattr(time, name))
    return time.monotonic()  # Windows' counts sleep
