"""What the page costs: its start, its memory, its open tabs and a full library."""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from engine.home import PROJECT, Home
from engine.library import add_clip
from engine.request import Size
from engine.store import Store

STARTS = 3
PATIENCE = 120.0  # seconds for a page to answer
TABS = (0, 1, 5, 20)
GAUGE_SECONDS = 8.0
CLIPS = 10_000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """Medians of some starts."""

    seconds: float
    processor: float
    megabytes: float


@dataclass
class Page:
    """A page in a process of its own."""

    url: str
    process: psutil.Process
    seconds: float
    processor: float


@contextmanager
def served(command: list[str], home: Path) -> Iterator[Page]:
    """Start ``command`` on a free port, and wait for its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HEADROOM_HOME": str(home), "GRADIO_ANALYTICS_ENABLED": "False"}
    log = (home / "bench.log").open("ab")
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
        cwd=PROJECT, env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/"
    try:
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(url, trust_env=False, timeout=30).status_code == 200:
                    break
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError(
                    f"the page did not start: {(home / 'bench.log').read_text()[-500:]}"
                )
            time.sleep(0.02)
        taken = time.perf_counter() - began
        seen = psutil.Process(process.pid)
        yield Page(url, seen, taken, _spent(seen))
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        process.kill()
        process.wait()
        log.close()


OURS = ["app.py", "serve", "--no-browser"]


def starts(folder: Path, say: Say) -> dict[str, Any]:
    """Our page and a bare one in turn, each STARTS times."""
    counts = _components(folder)
    bare = ["-m", "ui.bare", "--components", json.dumps(counts)]
    told: dict[str, list[Page]] = {"ours": [], "bare": []}
    memory: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(STARTS):
        for name, command in (("ours", OURS), ("bare", bare)):
            with served(command, folder) as page:
                told[name].append(page)
                time.sleep(3)  # what is still being imported counts as well
                memory[name].append(page.process.memory_info().rss / 10**6)
        say(f"start {turn + 1} of {STARTS}")
    found: dict[str, Any] = {"components": sum(counts.values())}
    for name, pages in told.items():
        found[name] = Start(
            _median([page.seconds for page in pages]),
            _median([page.processor for page in pages]),
            round(statistics.median(memory[name]), 1),
        )
    return found


def _components(folder: Path) -> dict[str, int]:
    """How many components of each kind our page has."""
    with served(OURS, folder) as page:
        config = httpx.get(f"{page.url}config", trust_env=False, timeout=30).json()
    counts: dict[str, int] = {}
    for part in config["components"]:
        counts[part["type"]] = counts.get(part["type"], 0) + 1
    return counts


def gauge(folder: Path, say: Say) -> dict[int, float]:
    """Percent of a core that the page's process takes with so many open pages."""
    shares: dict[int, float] = {}
    with served(OURS, folder) as page:
        time.sleep(10)  # until the model is loaded and nothing moves
        for tabs in TABS:
            stop = threading.Event()
            threads = [
                threading.Thread(target=_listen, args=(page.url, stop), daemon=True)
                for _ in range(tabs)
            ]
            for thread in threads:
                thread.start()
            time.sleep(1)
            before, began = _spent(page.process), time.perf_counter()
            time.sleep(GAUGE_SECONDS)
            spent = _spent(page.process) - before
            shares[tabs] = round(100 * spent / (time.perf_counter() - began), 1)
            stop.set()
            for thread in threads:
                thread.join(timeout=5)
            say(f"{tabs} open pages: {shares[tabs]} % of a core")
    return shares


def _listen(url: str, stop: threading.Event) -> None:
    with (
        suppress(httpx.HTTPError),
        httpx.stream("GET", f"{url}live", trust_env=False, timeout=30) as answer,
    ):
        for _ in answer.iter_lines():
            if stop.is_set():
                return


def libraries(folder: Path, say: Say) -> dict[str, tuple[float, float]]:
    """Seconds of the page and of its library's first cards, empty and full."""
    seconds: dict[int, dict[str, float]] = {}
    for count in (0, CLIPS):
        home = Home(folder / f"with-{count}")
        home.create()
        _fill(home, count)
        say(f"{count} clips")
        with served(OURS, home.root) as page:
            seconds[count] = {
                name: _median([_get(page.url + path) for _ in range(7)])
                for name, path in (
                    ("the page", ""),
                    ("the library's first cards", "library"),
                    ("a search in the library", "library?words=blue"),
                )
            }
    return {name: (seconds[0][name], seconds[CLIPS][name]) for name in seconds[0]}


def _fill(home: Home, count: int) -> None:
    """``count`` rows with files that are there; nothing opens them."""
    size, store = Size(480, 832, 81), Store(home.database)
    with store.transaction() as db:
        for number in range(count):
            file = f"{number:05d}.mp4"
            (home.clips / file).touch()
            prompt = f"{'a blue ball' if number % 5 else 'a red ball'} moves left, number {number}"
            request = {"prompt": prompt, "model": "wan-tiny", "seed": number}
            request |= {"height": size.height, "width": size.width, "frames": size.frames}
            receipt = {"request": request, "seed": number, "model": "wan-tiny", "stages": {}}
            created = f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T00:00:00.000+00:00"
            add_clip(db, None, created, file, receipt)
    store.close()


def _get(url: str) -> float:
    began = time.perf_counter()
    answer = httpx.get(url, trust_env=False, timeout=60)
    if answer.status_code != 200:
        raise RuntimeError(f"{re.sub('^.*?//', '', url)} answered {answer.status_code}")
    return time.perf_counter() - began


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 4)
