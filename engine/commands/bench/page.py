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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from engine.commands.bench.row import BenchFailed, Say, median
from engine.guard.climb import PROBE_PROMPT
from engine.home import PROJECT, Home
from engine.jobs import Jobs
from engine.library.library import add_clip
from engine.presets import load_presets
from engine.process.patience import WakingClock
from engine.request import ClipRequest, Size
from engine.store import Store

STARTS = 3
PATIENCE = 120.0  # seconds for a page to answer
TABS = (0, 1, 5, 20)
GAUGE_SECONDS = 8.0
CLIPS = 10_000
QUEUED = 100  # more than are made while the gauge is watched
START, SEARCH = "start to the first answer", "a search in the library"


@dataclass(frozen=True)
class Start:
    """Medians of some starts."""

    seconds: float
    processor: float
    megabytes: float


@dataclass
class PageProcess:
    """A page in a process of its own."""

    url: str
    process: psutil.Process
    seconds: float
    processor: float


@contextmanager
def served(command: list[str], home: Path) -> Iterator[PageProcess]:
    """Start ``command`` on a free port, and wait for its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HEADROOM_HOME": str(home), "GRADIO_ANALYTICS_ENABLED": "False"}
    log = (home / "bench.log").open("ab")
    began, clock = time.perf_counter(), WakingClock()
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
        cwd=PROJECT,
        env=environment,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(url, trust_env=False, timeout=30).status_code == 200:
                    break
            if process.poll() is not None or clock() > PATIENCE:
                said = (home / "bench.log").read_text(encoding="utf-8", errors="replace")
                raise BenchFailed(f"The page didn't start: {said[-500:]}", "Fix that first.")
            time.sleep(0.02)
        taken = time.perf_counter() - began
        seen = _interpreter(psutil.Process(process.pid))
        yield PageProcess(url, seen, taken, _spent(seen))
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        process.kill()
        process.wait()
        log.close()


def _interpreter(started: psutil.Process) -> psutil.Process:
    """On Windows an environment's python.exe only starts the real one, as its child."""
    children = started.children() if sys.platform == "win32" else []
    python = (child for child in children if child.name().lower().startswith("python"))
    return next(python, started)


OURS = ["app.py", "serve", "--no-browser"]


def starts(folder: Path, say: Say) -> dict[str, Any]:
    """Our page and a bare one in turn, each STARTS times."""
    bare, count = bare_page(folder)
    told: dict[str, list[PageProcess]] = {"ours": [], "bare": []}
    memory: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(STARTS):
        for name, command in (("ours", OURS), ("bare", bare)):
            with served(command, folder) as page:
                told[name].append(page)
                time.sleep(3)  # what is still being imported counts as well
                memory[name].append(page.process.memory_info().rss / 10**6)
        say(f"start {turn + 1} of {STARTS}")
    found: dict[str, Any] = {"components": count}
    for name, pages in told.items():
        found[name] = Start(
            median([page.seconds for page in pages]),
            median([page.processor for page in pages]),
            round(statistics.median(memory[name]), 1),
        )
    return found


def bare_page(folder: Path) -> tuple[list[str], int]:
    """What serves a bare page of as many components of each kind as ours, and how many in all."""
    with served(OURS, folder) as page:
        config = httpx.get(f"{page.url}config", trust_env=False, timeout=30).json()
    counts: dict[str, int] = {}
    for part in config["components"]:
        counts[part["type"]] = counts.get(part["type"], 0) + 1
    return ["-m", "ui.bare", "--components", json.dumps(counts)], sum(counts.values())


def gauge(folder: Path, say: Say) -> dict[str, float]:
    """Percent of a core that the page's process takes, by how many pages are open."""
    shares: dict[str, float] = {}
    with served(OURS, folder) as page:
        time.sleep(10)  # until the model is loaded and nothing moves
        for tabs in TABS:
            shares[_pages(tabs)] = _share(page, tabs)
            say(f"{_pages(tabs)}: {shares[_pages(tabs)]} % of a core")
    _queue(folder, QUEUED)
    with served(OURS, folder) as page:
        time.sleep(10)  # the queue goes on by itself
        for tabs in (TABS[0], TABS[-1]):
            name = f"{_pages(tabs)}, one clip after the other"
            shares[name] = _share(page, tabs)
            say(f"{name}: {shares[name]} % of a core")
    return shares


def _pages(count: int) -> str:
    return "1 open page" if count == 1 else f"{count} open pages"


def _share(page: PageProcess, tabs: int) -> float:
    """Percent of a core while ``tabs`` listen, over GAUGE_SECONDS."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_listen, args=(page.url, stop), daemon=True) for _ in range(tabs)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    before, began = _spent(page.process), time.perf_counter()
    time.sleep(GAUGE_SECONDS)
    spent, taken = _spent(page.process) - before, time.perf_counter() - began
    stop.set()
    for thread in threads:
        thread.join(timeout=5)
    return round(100 * spent / taken, 1)


def _queue(folder: Path, count: int) -> None:
    """So many small clips for the next page that starts there."""
    store, presets = Store(Home(folder).database), load_presets()
    Jobs(store).add_all(
        [ClipRequest.check({"prompt": PROBE_PROMPT, "seed": n}, presets) for n in range(count)]
    )
    store.close()


def _listen(url: str, stop: threading.Event) -> None:
    with (
        suppress(httpx.HTTPError),
        httpx.stream("GET", f"{url}live", trust_env=False, timeout=30) as answer,
    ):
        for _ in answer.iter_lines():
            if stop.is_set():
                return


def libraries(folder: Path, say: Say) -> dict[str, tuple[float, float]]:
    """Seconds of the page's start, of the page and of its library's first cards, empty and full."""
    homes = {count: Home(folder / f"with-{count}") for count in (0, CLIPS)}
    seconds: dict[int, dict[str, list[float]]] = {count: {} for count in homes}
    for count, home in homes.items():
        home.create()
        _fill(home, count)
    for turn in range(STARTS):
        for count, home in homes.items():
            for name, took in _asked(home).items():
                seconds[count].setdefault(name, []).append(took)
        say(f"start {turn + 1} of {STARTS}")
    none, full = ({n: median(t) for n, t in found.items()} for found in seconds.values())
    return {name: (none[name], full[name]) for name in none}


def _asked(home: Home) -> dict[str, float]:
    """One start, and what it answers."""
    with served(OURS, home.root) as page:
        found = {START: page.seconds}
        time.sleep(5)  # the model is loaded beside the first answers
        for name, path in (
            ("the page", ""),
            ("the library's first cards", "library"),
            (SEARCH, "library?words=blue"),
        ):
            found[name] = median([_get(page.url + path) for _ in range(7)])
    return found


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
        where = re.sub("^.*?//", "", url)
        raise BenchFailed(f"{where} answered {answer.status_code}.", "logs/page.log may say more.")
    return time.perf_counter() - began


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
