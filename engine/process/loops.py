"""Keeps what runs for long alive: whatever one turn of a loop raises is logged once, told on the
page, and tried again after a pause that grows. A turn that goes well makes all of it good.

Every thread and stream that lives as long as its process goes through here.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

from engine.errors import HeadroomError, first_line
from engine.text import Text, joined

log = logging.getLogger("headroom.loops")

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0  # of the pauses; each is twice the one before
CALM_SECONDS = 60.0  # without an error, after which the next one is news again

Name = Literal[
    "supervisor",
    "recorder",
    "folder_sync",
    "posters",
    "install",
    "page",
    "live",
    "visitors_page",
    "share_end",
    "orders",
    "beat",
    "teller",
    "owner",
    "peak",
    "lease",
    "machine",
    "maker",
    "home",
    "cluster",
]
Tell = Callable[[Name, Text], None]


class ThreadRefused(HeadroomError):
    """The system gives this process no other thread."""


class Faults:
    """What the loops of this process ran into; any thread may tell, and ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._said: dict[Name, tuple[float, Text]] = {}

    def tell(self, loop: Name, said: Text) -> None:
        with self._lock:
            self._said[loop] = self._clock(), said

    def text(self) -> Text:
        """For the page: one sentence for each loop that is in trouble, or was a moment ago."""
        with self._lock:
            since = self._clock() - max(CALM_SECONDS, 2 * LONGEST_SECONDS)
            self._said = {loop: told for loop, told in self._said.items() if told[0] > since}
            return joined(*(said for _, said in self._said.values()))


def nobody(_loop: Name, _said: Text) -> None:
    """For a loop that has no page to tell."""


class Loop:
    """One loop's luck; its own thread only calls it.

    Args:
        tell: hears what went wrong, again at each try, and when it works again.
        longest: seconds, of its pauses.
    """

    def __init__(self, name: Name, tell: Tell = nobody, longest: float = LONGEST_SECONDS) -> None:
        self._name, self._tell, self._longest = name, tell, longest
        self._failures, self._failed_at = 0, 0.0
        self._logged: set[type[BaseException]] = set()
        self._error: Text | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Within this nothing but the end of the process ends the loop."""
        try:
            yield
        except Exception as error:
            self.failed(error)
        else:
            self.went_well()

    @property
    def pause(self) -> float:
        """Seconds to wait before the next turn; 0 as long as all goes well."""
        if not self._failures:
            return 0.0
        return float(min(self._longest, FIRST_SECONDS * 2 ** min(self._failures - 1, 16)))

    @property
    def due(self) -> bool:
        """Whether the pause is over, for a loop that others' questions drive."""
        return time.monotonic() >= self._failed_at + self.pause

    def failed(self, error: Exception) -> None:
        """What ``turn`` does about ``error``. Nothing in here may end the loop either: memory that
        ran out runs out here as well."""
        self._failures += 1
        with contextlib.suppress(Exception):
            calm = time.monotonic() - self._failed_at > CALM_SECONDS + self.pause
            if calm:
                self._logged.clear()
            self._failed_at = time.monotonic()
            self._error = described(error)
            if type(error) not in self._logged:
                self._logged.add(type(error))
                log.error("%s met an error and goes on: %s", self._name, self._error)
                log.info("%s met it here", self._name, exc_info=error)  # for files, no terminal
        with contextlib.suppress(Exception):
            self._tell(self._name, Text("loops.tries_again", who=self._who(), error=self._error))

    def went_well(self) -> None:
        """The last turn had no error."""
        if self._failures:
            self._failures = 0
            with contextlib.suppress(Exception):
                told = Text("loops.works_again", who=self._who(), error=self._error or "?")
                self._tell(self._name, told)

    def _who(self) -> Text:
        return Text(f"loops.who_{self._name}")


def described(error: BaseException) -> Text:
    """What nobody expected, as part of a sentence."""
    if isinstance(error, HeadroomError):
        return error.sentence
    kind, why = type(error).__name__, first_line(error)
    return Text("loops.error", kind=kind, why=why) if why else Text("loops.kind", kind=kind)


def start(thread: threading.Thread) -> None:
    """Start ``thread``.

    Raises:
        ThreadRefused: the system gives no more of them.
    """
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:  # of CPython's, for a thread that can't be had
        why = first_line(error, type(error).__name__)
        raise ThreadRefused(Text("loops.no_thread", why=why), Text("loops.more_threads")) from error
