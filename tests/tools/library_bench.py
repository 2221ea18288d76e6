"""How much slower a library of 10,000 clips is than an empty one.

``python -m tests.tools.library_bench``: one tiny clip is linked as often as is asked for, with a
row
each, and the page is started in turns with none of them and with all. Prints one JSON object; on a
busy machine the seconds of the processor are the ones to look at.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from engine.home import Home
from engine.library.files import Identity, still_of
from engine.library.folder_sync import FolderSync
from engine.library.library import Library, Query, add_clip
from engine.store import Store, timestamp
from tests.support.browser import CHROMIUM, launched
from tests.support.clipfiles import receipt, write
from tests.support.served import Served, serve

STARTS = 3
WORDS = ("a red ball rolls left over green grass", "ein grüner Würfel dreht sich im Schnee")


def fill(home: Home, count: int) -> None:
    """``count`` clips, as though they had been made here a minute apart."""
    clip = write(home.cache / "tiny.mp4", receipt())
    identity = Identity.of(clip)
    assert identity.digest
    from engine.library.mp4 import poster_of

    home.stills.mkdir(exist_ok=True)
    poster_of(clip, still_of(home, identity.digest))
    store, now = Store(home.database), time.time()
    with store.transaction() as db:
        for number in range(count):
            name = f"{number:05d}-clip"
            os.link(clip, home.clips / f"{name}.mp4")
            told = receipt(f"{WORDS[number % 2]} {number}", number, width=48 + 16 * (number % 3))
            add_clip(db, None, timestamp(now - 60 * number), f"{name}.mp4", told, identity)
        db.execute("update clips set favourite = id % 50 = 0")
    store.close()


def typical(act: Callable[[], object], times: int = 5) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took), 4)


def questions(home: Home) -> dict[str, float]:
    """Seconds in the engine; the median of five."""
    store = Store(home.database)
    library = Library(home, store)
    count = library.page(Query()).count
    deep = (timestamp(time.time() - 60 * (count - 100)), 0)
    seconds = {
        "first page": typical(lambda: library.page(Query())),
        "page at the end": typical(lambda: library.page(Query(), deep)),
        "search, two words": typical(lambda: library.page(Query(words="GRÜNER schnee"))),
        "search, nothing found": typical(lambda: library.page(Query(words="zebra"))),
        "size and favourites": typical(lambda: library.page(Query("", "", 32, 64, True))),
        "models and sizes": typical(library.kinds),
        "scan": typical(FolderSync(library).scan),
    }
    store.close()
    return seconds


def in_browser(served: Served) -> dict[str, float]:
    """Seconds from the address to the form being usable, and from the tab to the first cards."""
    ready, opened = [], []
    done = "document.querySelectorAll('#library .lib-card, #library .lib-empty').length"
    with launched() as chromium:
        for _ in range(5):
            tab = chromium.new_context(viewport={"width": 1366, "height": 768}).new_page()
            began = time.perf_counter()
            tab.goto(served.url)
            tab.wait_for_function(
                "document.querySelector('[data-live=engine]')?.textContent.length > 15"
            )
            tab.wait_for_selector("#truth .truth")
            ready.append(time.perf_counter() - began)
            began = time.perf_counter()
            tab.get_by_role("tab", name="Library").click()
            tab.wait_for_function(done)
            opened.append(time.perf_counter() - began)
            tab.context.close()
    return {
        "page ready": round(statistics.median(ready), 3),
        "library opened": round(statistics.median(opened), 3),
    }


def start(home: Home, log: Path, told: dict[str, Any]) -> None:
    """One start of the page, and what it answers; appended to ``told``."""
    os.environ["HEADROOM_HOME"] = str(home.root)
    began = time.perf_counter()
    served = serve(log)
    took = {"start to first 200": time.perf_counter() - began}
    try:
        process = psutil.Process(served.pid)
        spent = process.cpu_times()
        took["the same, processor"] = spent.user + spent.system
        for name, path in (("GET /", ""), ("GET /library", "library")):
            took[name] = typical(lambda path=path: httpx.get(served.url + path, trust_env=False))  # type: ignore[misc]
        if CHROMIUM:
            took |= in_browser(served)
        took["resident MB"] = process.memory_info().rss / 10**6
    finally:
        served.end(signal.SIGTERM)
    for name, value in took.items():
        told.setdefault(name, []).append(value)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=10_000)
    count = options.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        homes: dict[int, Home] = {}
        told: dict[int, dict[str, Any]] = {}
        for number in (0, count):
            os.environ["HEADROOM_HOME"] = str(Path(folder) / str(number))
            homes[number] = Home.find()
            fill(homes[number], number)
            told[number] = {}
        for _ in range(STARTS):
            for number, home in homes.items():
                start(home, Path(folder) / "serve.log", told[number])
        seconds = {number: questions(home) for number, home in homes.items()}
    none, full = (
        {name: round(statistics.median(values), 3) for name, values in told[number].items()}
        for number in (0, count)
    )
    answer = {
        "empty": {**none, **seconds[0]},
        "full": {**full, **seconds[count]},
        "times": {name: round(full[name] / none[name], 2) for name in none},
    }
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
