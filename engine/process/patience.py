"""Time as this process lived it: a deadline counts looks really taken, not the wall's clock.

A closed lid, Ctrl-Z, a paused container or a stopped virtual machine hold every process at once.
Whoever wakes first would find that the others were silent for hours. Here the time between two
looks counts for one step at the most, so that after any gap everybody has its seconds again.

Standard library only: set-up uses it as well.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

STEP = 1.0  # seconds that one gap between two looks counts for at the most

T = TypeVar("T")


class WakingClock:
    """Seconds that went by while somebody looked. For one thread.

    Args:
        step: what one gap counts for at the most; more than the usual time between two looks.
        clock: seconds. ``time.monotonic``, if there is none: it goes on while the process is
            stopped, and on some systems while the machine sleeps.
    """

    def __init__(self, step: float = STEP, clock: Callable[[], float] | None = None) -> None:
        self._step, self._clock = step, clock or time.monotonic
        self._seen, self._passed = self._clock(), 0.0

    def __call__(self, step: float | None = None) -> float:
        """Look.

        Args:
            step: what may have gone by at the most since the last look, where that is known.
        """
        now = self._clock()
        self._passed += min(max(0.0, now - self._seen), self._step if step is None else step)
        self._seen = now
        return self._passed


def waited(turn: Callable[[float], bool], seconds: float, step: float = STEP) -> bool:
    """Whether ``turn``, which waits for the seconds that it is given, ends within ``seconds``."""
    clock = WakingClock(2 * step)
    while (passed := clock()) < seconds:
        if turn(min(step, seconds - passed)):
            return True
    return turn(0.0)


async def within(seconds: float, work: Coroutine[Any, Any, T], step: float = STEP) -> T:
    """The result of ``work``; it is cancelled with its caller, and after ``seconds``.

    Raises:
        TimeoutError: it took longer.
    """
    task = asyncio.ensure_future(work)
    clock = WakingClock(2 * step)
    try:
        while (passed := clock()) < seconds and not task.done():
            await asyncio.wait({task}, timeout=min(step, seconds - passed))
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def run(
    command: Sequence[str], seconds: float, data: Any = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """``subprocess.run`` with both outputs caught, killed after ``seconds``.

    Args:
        data: for its standard input.
        options: as ``Popen`` takes them.

    Raises:
        subprocess.TimeoutExpired: with what it said until then.
        OSError: it can't be started.
    """
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if data is not None:
        pipes["stdin"] = subprocess.PIPE
    with subprocess.Popen(command, **pipes | options) as process:
        clock = WakingClock(2 * STEP)
        try:
            while True:
                left = seconds - clock()
                try:
                    out, err = process.communicate(data, timeout=max(0.0, min(STEP, left)))
                    return subprocess.CompletedProcess(command, process.returncode, out, err)
                except subprocess.TimeoutExpired:
                    data = None  # it has begun to write it, and goes on with that
                if left <= 0:
                    process.kill()
                    out, err = process.communicate()
                    raise subprocess.TimeoutExpired(command, seconds, out, err)
        except BaseException:
            process.kill()
            raise
