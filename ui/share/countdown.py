"""How long a share lasts still, by every clock that this computer has."""

import threading
import time
from collections.abc import Callable, Sequence

Clock = Callable[[], float]


class Countdown:
    """Seconds that run out by whichever clock went furthest since the last look.

    ``time.monotonic`` stands still on Linux and macOS while the machine sleeps; the wall clock
    doesn't, but can be set back. Looked at often, neither lengthens a share: a clock that is set
    on shortens it.
    """

    def __init__(self, seconds: float, clocks: Sequence[Clock] = (time.monotonic, time.time)):
        self._clocks, self._left = clocks, seconds
        self._seen = [clock() for clock in clocks]
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """0 once it is over, and from then on."""
        with self._lock:
            now = [clock() for clock in self._clocks]
            passed = max(at - before for at, before in zip(now, self._seen, strict=True))
            self._seen = now
            self._left = max(0.0, self._left - max(0.0, passed))
            return self._left
