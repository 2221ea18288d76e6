"""Wrong passwords slow down: each costs its address twice the time of the one before.

One for each secret, which every way to try it passes. A try counts as wrong until it was right, so
that many at once are no way around it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from engine.errors import HeadroomError
from engine.text import Text
from ui.server.caller import LOOPBACK

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds
ADDRESSES = 1000  # as many are remembered, besides this computer
FORGOTTEN = 3600.0  # seconds after its last wait ended, an address begins anew


class TooManyTries(HeadroomError):
    """It isn't judged now; ``seconds`` until it would be."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        again = Text("login.again_in", seconds=self.seconds)
        super().__init__(Text("login.too_many_tries"), again)


class Throttle:
    """How long each address has to wait until it may try again.

    Who has tried wrongly is forgotten by time only. While as many are remembered as can be, those
    that come new share one wait, which doesn't grow: a flood of addresses gets one try a second.
    This computer always has its own place. ``proxied`` are addresses that a proxy here told, and
    that may be made up: each waits for itself, for that one shared wait, and for this computer's
    own wrong tries; this computer never waits for theirs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # How often each was wrong, and when it may try again; who tried last is last.
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._crowd = 0.0

    def wait(self, address: str, proxied: bool = False) -> float:
        """Seconds; 0 where it may try now."""
        with self._lock:
            return self._wait(address, proxied)

    def judge(self, address: str, is_right: Callable[[], bool], proxied: bool = False) -> bool:
        """Whether a try was right; ``is_right`` has to be quick.

        Raises:
            TooManyTries: it wasn't looked at.
        """
        with self._lock:
            if wait := self._wait(address, proxied):
                raise TooManyTries(wait)
            if is_right():
                self._forget(address, proxied)
                return True
            self._count(address, proxied)
            return False

    def begin(self, address: str, proxied: bool = False) -> None:
        """A try begins, which somebody else judges: it is wrong unless ``right`` is called.

        Raises:
            TooManyTries: it mustn't be judged now.
        """
        with self._lock:
            if wait := self._wait(address, proxied):
                raise TooManyTries(wait)
            self._count(address, proxied)

    def right(self, address: str, proxied: bool = False) -> None:
        """What ``begin`` began was right."""
        with self._lock:
            self._forget(address, proxied)

    # ---- with the lock held ----------------------------------------------------------------

    def _wait(self, address: str, proxied: bool) -> float:
        until = [self._until(address)]
        if proxied:
            until += [self._crowd, self._until(LOOPBACK)]
        elif not self._has_place(address):
            until += [self._crowd]
        return float(max(0.0, max(until) - self._clock()))

    def _until(self, address: str) -> float:
        return self._tries.get(address, (0, 0.0))[1]

    def _has_place(self, address: str) -> bool:
        if address in self._tries or address == LOOPBACK:
            return True
        before = self._clock() - FORGOTTEN
        while self._tries and next(iter(self._tries.values()))[1] < before:
            self._tries.popitem(last=False)
        return len(self._tries) < ADDRESSES

    def _count(self, address: str, proxied: bool) -> None:
        now = self._clock()
        placed = self._has_place(address)
        if proxied or not placed:
            self._crowd = now + FIRST_WAIT
        if placed:
            count, until = self._tries.pop(address, (0, 0.0))
            count = 0 if until < now - FORGOTTEN else count
            wait = float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(count, 20)))
            self._tries[address] = (count + 1, now + wait)

    def _forget(self, address: str, proxied: bool) -> None:
        if proxied or not self._has_place(address):
            self._crowd = 0.0
        self._tries.pop(address, None)
