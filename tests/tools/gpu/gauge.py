"""The gauge beside torch's own books: ``python -m tests.tools.gpu.gauge PID FILE`` samples until
killed.

It runs in a process of its own, as the page does, with the page's meter at the page's pace, and
reads ``nvidia-smi`` beside it. CLOCK_MONOTONIC is one clock for all processes of a machine.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from engine.machine.memory import Meter
from engine.machine.recorder import BUSY_SECONDS

MIB = 2**20
CLOSE = 16 * MIB  # so near counts as the same: drivers hand memory out in pages of 2 MiB
Reading = tuple[float, float]  # seconds, bytes


@dataclass(frozen=True)
class Compared:
    """``offset``: what the gauge counts besides. The rest is beyond that.

    ``delay``: how long ago the own books must have said what the gauge says, at the most.
    """

    offset: float
    largest: float
    largest_settled: float
    delay: float | None


def compare(own: list[Reading], told: Iterable[Reading]) -> Compared | None:
    """``told`` against ``own``, which is sampled far more often; None without common time."""
    if not own:
        return None
    inside = [(at, value) for at, value in told if own[0][0] + 2 <= at <= own[-1][0]]
    if not inside:
        return None
    gaps = sorted(value - _within(own, at, 0.0)[0] for at, value in inside)
    offset = gaps[len(gaps) // 2]
    shifted = [(at, value - offset) for at, value in inside]

    def largest(seconds: float) -> float:
        return max(_away(value, _within(own, at, seconds)) for at, value in shifted)

    delays = (d / 100 for d in range(0, 201, 5))
    delay = next((d for d in delays if largest(d) <= CLOSE), None)
    return Compared(offset, largest(0.0), largest(BUSY_SECONDS), delay)


def _within(own: list[Reading], at: float, seconds: float) -> tuple[float, float]:
    """Least and most of ``own`` from ``seconds`` before ``at`` until then."""
    last = bisect_right(own, (at, float("inf")))
    first = bisect_right(own, (at - seconds, float("inf")))
    seen = [value for _, value in own[max(0, first - 1) : last]]
    return min(seen), max(seen)


def _away(value: float, allowed: tuple[float, float]) -> float:
    return max(0.0, allowed[0] - value, value - allowed[1])


@contextmanager
def watching(pid: int, file: Path) -> Iterator[list[Reading]]:
    """Both sides are sampled within; the list has what torch reserved, ``file`` what was told."""
    own: list[Reading] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.01):
            reserved = float(torch.cuda.memory_reserved())
            own.append((time.monotonic(), reserved))

    thread = threading.Thread(target=sample, daemon=True)
    child = subprocess.Popen([sys.executable, "-m", "tests.tools.gpu.gauge", str(pid), str(file)])
    thread.start()
    try:
        time.sleep(2.5)  # until the other process has imported what it needs
        yield own
    finally:
        child.terminate()
        child.wait()
        done.set()
        thread.join()


def read(file: Path) -> dict[str, list[Reading]]:
    """By source: "nvml of the process", "nvml of the GPU", "nvidia-smi"."""
    found: dict[str, list[Reading]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        source, at, value = json.loads(line)
        found.setdefault(source, []).append((at, value))
    return found


def main() -> None:
    pid, file = int(sys.argv[1]), Path(sys.argv[2])
    lock = threading.Lock()

    def keep(source: str, at: float, value: float) -> None:
        with lock, file.open("a") as out:
            out.write(json.dumps([source, at, value]) + "\n")

    smi = _start_nvidia_smi(keep)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    meter = Meter()
    try:
        while True:
            began = time.monotonic()
            gpu = meter.sample(pid).gpu
            if gpu is not None:
                ours = [h.used for h in gpu.holders if h.pid == pid and h.used is not None]
                keep("nvml of the GPU", began, float(gpu.used))
                if ours:
                    keep("nvml of the process", began, float(sum(ours)))
            time.sleep(max(0.0, began + BUSY_SECONDS - time.monotonic()))
    finally:
        if smi is not None:
            smi.kill()


def _start_nvidia_smi(keep: Callable[[str, float, float], None]) -> subprocess.Popen[bytes] | None:
    """On a terminal of its own: into a pipe it would write when its buffer is full."""
    query = "--query-gpu=timestamp,memory.used"
    every = str(round(BUSY_SECONDS * 1000))
    terminal, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            ["nvidia-smi", query, "--format=csv,noheader,nounits", "-lms", every], stdout=theirs
        )
    except OSError:
        return None

    os.close(theirs)

    def listen() -> None:
        with suppress(OSError), os.fdopen(terminal) as lines:  # a terminal's end is an error
            for line in lines:
                at, _, used = line.strip().partition(", ")
                if used.isdigit():
                    wall = datetime.strptime(at, "%Y/%m/%d %H:%M:%S.%f").timestamp()
                    keep("nvidia-smi", wall - time.time() + time.monotonic(), float(used) * MIB)

    threading.Thread(target=listen, daemon=True).start()
    return process


if __name__ == "__main__":
    main()
