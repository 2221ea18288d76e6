"""How many connections a server has: in all, of this computer, of others, and of one address.

Both servers have one, the owner's page (which Gradio starts) and the visitors'. Who comes in when
it is full takes the place of who has asked for nothing; where all are busy, they are refused.
Strangers never take a place of this computer's.
"""

import contextlib
import logging
import socket
from collections import Counter
from functools import partial
from typing import Any

import uvicorn

from engine import logs
from ui.server.caller import LOOPBACK
from ui.server.connection import Connection

log = logging.getLogger(__name__)

EACH = 64  # connections of one address; a browser has six to a page
MOST = 256  # of all other computers, and as many of this one
# Files that the program itself needs: 60 at work, the workers' pipes, and what asyncio accepts in
# one turn before it looks at the first.
SPARED = 256
# What shares the rest: two servers, at two files a connection (its own, and a clip that is sent).
# The visitors' has either others or this computer, where the tunnel ends.
SHARES = 6
# Connections that asyncio accepts before the first is looked at (its own number; it would do that
# with all that wait), and that the system keeps waiting meanwhile (uvicorn's).
AT_ONCE, WAITING = 100, 2048
LOOK_SECONDS = 1.0
RATE, BURST = 100.0, 256.0  # new connections of one address: a second, and at once
RATED = 10_000  # addresses whose rate is known


def places(limit: int) -> int:
    """How many connections either kind may have where a process may open ``limit`` files."""
    return max(8, min(MOST, (limit - min(SPARED, limit // 2)) // SHARES))


class Door:
    """The connections of one server. Its loop's thread only."""

    def __init__(self, most: int = MOST, each: int = EACH) -> None:
        self._most, self._each = most, min(each, most)
        self._open: dict[Connection, None] = {}
        self._of: Counter[str] = Counter()
        self._rates: dict[str, tuple[float, float]] = {}
        self._looking = False

    @property
    def count(self) -> int:
        return len(self._open)

    @property
    def at_once(self) -> int:
        """As many are accepted in one turn of the loop. It takes some until a request is read, and
        by then nobody may have lost their place to those behind them."""
        return max(1, min(AT_ONCE, self._most // 8))

    def enter(self, connection: Connection) -> bool:
        """Count ``connection``; False where it has to be refused."""
        loop, whose = connection.loop, connection.whose
        own = whose == LOOPBACK
        if not own and self._hurries(whose, loop.time()):
            log.warning("connections of one address are refused: %d a second", RATE)
            return False
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_SECONDS, self._look, loop)
        full = self._of[whose] >= (self._most if own else self._each)
        if full or (not own and len(self._open) - self._of[LOOPBACK] >= self._most):
            rivals = [
                other
                for other in self._open
                if (other.whose == whose if full else other.whose != LOOPBACK)
            ]
            if not self._make_room(rivals, loop.time()):
                log.warning("a connection was refused: %d are open, all at work", len(self._open))
                return False
        self._open[connection] = None
        self._of[whose] += 1
        return True

    def _hurries(self, whose: str, now: float) -> bool:
        """Whether an address opens connections faster than anybody needs them."""
        left, at = self._rates.pop(whose, (BURST, now))
        left = min(BURST, left + RATE * (now - at))
        self._rates[whose] = max(0.0, left - 1), now
        if len(self._rates) > RATED:
            del self._rates[next(iter(self._rates))]
        return left < 1

    def leave(self, connection: Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._of[connection.whose] -= 1
            if not self._of[connection.whose]:
                del self._of[connection.whose]

    def _make_room(self, rivals: list[Connection], now: float) -> bool:
        """Close some that are idle, those first that are it longest. An eighth at once: to look
        through all of them for each one that comes would itself be too much work."""
        idle = []
        for rival in rivals:
            rival.look(now)
            if (seconds := rival.idle(now)) is not None:
                idle.append((seconds, rival))
        idle.sort(key=lambda entry: -entry[0])
        ended = idle[: max(1, len(rivals) // 8)]
        for _, rival in ended:
            self.leave(rival)
            rival.transport.abort()
        if ended:
            log.warning("connections that asked for nothing were closed: %d are open", len(rivals))
        return bool(ended)

    def _look(self, loop: Any) -> None:
        """End what is overdue; once a second while anything is open."""
        now = loop.time()
        for connection in list(self._open):
            connection.look(now)
            if why := connection.overdue(now):
                log.info("a connection was ended: %s", why)
                connection.end()
        self._looking = bool(self._open)
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look, loop)


def guard(server: uvicorn.Server, door: Door) -> None:
    """Have ``server``, which hasn't started, count its connections at ``door``."""
    config = server.config
    config.http = partial(Connection, door)  # type: ignore[assignment]
    config.ws = "none"
    config.backlog = door.at_once
    # A tunnel (ssh -R) arrives from this computer with whatever headers somebody made up: believed,
    # they would be a new address for each guess at the password. See ui.server.caller.
    config.proxy_headers = False
    for handler in logging.getLogger("uvicorn").handlers:  # they don't reach those of the root
        handler.addFilter(logs.OneAMinute())
    begin = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await begin(sockets)
        for listening in (made for one in server.servers for made in one.sockets):
            with contextlib.suppress(OSError), listening.dup() as same:
                same.listen(WAITING)

    server.startup = startup  # type: ignore[method-assign]
