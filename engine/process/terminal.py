"""What started the program and reads it: its three streams, and the signals of its end.

Readers go away: ``| head -1``, a closed window, ``>&-``, a full disk. What is told on stderr is
for whoever is there to read it, and lost without a word. The answer on stdout matters: who can't
give it hears so once, as ``AnswerLost``.

Standard library only: set-up uses it as well.
"""

import _thread
import contextlib
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

# Ctrl-C, a polite kill, a terminal that is closed; Windows' window sends a break.
ENDINGS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
# An end that nothing came of is asked for again after this: modules that Cython made drop whatever
# is raised while they register their classes.
LOST_SECONDS = 1.0
# EINVAL: of a pipe without a reader, on Windows. EBADF: it was closed when the program began.
GONE = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ECONNRESET, errno.EINVAL)


class AnswerLost(OSError):
    """Nothing can be written to stdout; raised once, from then on it is as quiet as /dev/null."""

    @property
    def gone(self) -> bool:
        """Whether its reader went away; else there was no space, or the like."""
        return self.errno in GONE


class _Stream(io.RawIOBase):
    """A stream to the outside that doesn't fail, or only once.

    Args:
        under: what is written to.
        matters: raise AnswerLost at the first failure.
    """

    def __init__(self, under: Any, matters: bool) -> None:
        self._under, self._matters = under, matters

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._under.fileno())

    def isatty(self) -> bool:
        return bool(self._under.isatty())

    def write(self, data: Any) -> int | None:
        try:
            written: int | None = self._under.write(data)
        except OSError as error:
            if self._matters:
                self._matters = False
                raise AnswerLost(error.errno, error.strerror or str(error)) from error
            return len(data)
        return written


def secure() -> None:
    """Make the three streams safe to use; to be called before anything else is opened.

    A number that was closed would go to the next file that is opened, and messages into that one.
    """
    _fill()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = _wrapped(sys.stdout, 1, matters=True)
    sys.stderr = _wrapped(sys.stderr, 2, matters=False)


def forgive() -> None:
    """For a child: neither stream matters, and what libraries print can't fail."""
    sys.stdout = _wrapped(sys.stdout, 1, matters=False)
    sys.stderr = _wrapped(sys.stderr, 2, matters=False)


def reader_gone() -> bool:
    """Whether nobody can read the answer any more; where that can't be seen, False."""
    with contextlib.suppress(OSError, ValueError, AttributeError, ImportError):
        if not _for_writing(1):
            return True
        looking = select.poll()
        looking.register(1, 0)
        return bool(looking.poll(0))  # an error or a hang-up: nothing else was asked for
    return False


def end_signals() -> tuple[signal.Signals, ...]:
    """Those that ask for the end; ``nohup`` has the terminal's ignored, which is kept to."""
    return tuple(
        number
        for number in ENDINGS
        if number in (signal.SIGINT, signal.SIGTERM)
        or signal.getsignal(number) is not signal.SIG_IGN
    )


@contextmanager
def ends_interrupt() -> Iterator[None]:
    """A polite kill and the terminal's end break off what runs within this as Ctrl-C does, so that
    it is ended in order. Only the first: a shell passes on what the terminal sent already. Whoever
    sets handlers of its own meanwhile keeps them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupt = KeyboardInterrupt()
    asked, insisted, left = threading.Event(), threading.Event(), threading.Event()

    def insist(number: signal.Signals) -> None:
        while not left.wait(LOST_SECONDS):
            insisted.set()
            _thread.interrupt_main(number)

    def end(number: int, _frame: FrameType | None) -> None:
        first = not asked.is_set()
        asked.set()
        if first:
            threading.Thread(
                target=insist, args=(signal.Signals(number),), name="the end", daemon=True
            ).start()
        if first or (insisted.is_set() and not _in_hand(interrupt)):
            raise interrupt

    numbers = [number for number in end_signals() if number != signal.SIGINT]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        left.set()
        for number, handler in before.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


def _in_hand(interrupt: KeyboardInterrupt) -> bool:
    """Whether the main thread, which this is called in, is cleaning up because of it."""
    handled = sys.exc_info()[1]
    while handled is not None and handled is not interrupt:
        handled = handled.__context__
    return handled is not None


def _fill() -> None:
    for number, way in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # For stdout one that can't be written to: the answer shall be missed.
            opened = os.open(os.devnull, way)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def _for_writing(number: int) -> bool:
    import fcntl

    return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _wrapped(stream: TextIO | None, number: int, matters: bool) -> TextIO:
    if stream is None or not hasattr(stream, "buffer"):
        under: Any = io.FileIO(number, "w", closefd=False)
    else:
        stream.flush()
        under = getattr(stream.buffer, "raw", stream.buffer)
    unbuffered = bool(getattr(stream, "write_through", False))
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(under, matters)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors=getattr(stream, "errors", None) or "backslashreplace",
        line_buffering=number == 2 or unbuffered or bool(getattr(stream, "line_buffering", False)),
    )
