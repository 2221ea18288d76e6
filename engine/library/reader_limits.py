"""What the reader may take, in memory and in time: a small file can ask for any amount of both.

mp4.py refuses what its header owns up to; this is for what it doesn't. The child that passes a
limit ends, and takes only the file with it that it was at.
"""

import contextlib
import faulthandler
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from engine.process import loops

# More than the child has once PyAV is loaded. A still of 4096 × 2304 with 16 pictures kept for
# reference takes 360 MB.
MEMORY = 512 * 2**20
STARTED = 256 * 2**20  # what it has then is less: 67 MB on Linux
# Of the processor, for each file. A receipt takes some thousandths of one, a still of five seconds
# at 1280 × 720 about one.
SECONDS_EACH = 10.0
SECONDS_WHOLE = 60.0  # of one that is decoded to its end: half a minute of 1080p takes about 20
LOOK_SECONDS = 0.05


def limit_memory() -> None:
    """From now on this process gets no more than ``MEMORY``; only Linux keeps to that."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


@contextlib.contextmanager
def timed(seconds: float = SECONDS_EACH) -> Iterator[None]:
    """Ends this process after ``seconds`` within: of the processor, so that a computer that
    sleeps isn't taken for a file without end; on Windows, which doesn't count that, of the clock.
    """
    if sys.platform == "win32":
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        return
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends even what never returns to Python
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def watched(child: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
    """Ends ``child`` when it holds more than it may, wherever the system doesn't see to that, and
    when it wasn't ready at looks of ``seconds`` in all."""
    done = threading.Event()

    def watch() -> None:
        for _ in range(int(seconds / LOOK_SECONDS)):
            if done.wait(LOOK_SECONDS) or child.poll() is not None:
                return
            with contextlib.suppress(psutil.Error):
                if psutil.Process(child.pid).memory_info().rss > STARTED + MEMORY:
                    break
        child.kill()

    thread = threading.Thread(target=watch, name="reader's limits", daemon=True)
    loops.start(thread)
    try:
        yield
    finally:
        done.set()
        thread.join()
