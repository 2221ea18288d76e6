"""Wrong passwords slow down: each costs its address twice the time of the one before."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds
ADDRESSES = 1000  # as many are remembered


class Throttle:
    """How long each address has to wait until it may try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds; 0 where it may try now."""
        with self._lock:
            _, until = self._tries.get(address, (0, 0.0))
            return float(max(0.0, until - self._clock()))

    def wrong(self, address: str) -> float:
        """It was the wrong one; returns the seconds to wait."""
        with self._lock:
            count, _ = self._tries.pop(address, (0, 0.0))
            wait = float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(count, 20)))
            self._tries[address] = (count + 1, self._clock() + wait)
            while len(self._tries) > ADDRESSES:
                self._tries.popitem(last=False)
            return wait

    def right(self, address: str) -> None:
        with self._lock:
            self._tries.pop(address, None)
