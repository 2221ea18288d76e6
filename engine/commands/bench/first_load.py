"""What a browser that comes for the first time gets, and how soon it can write there, beside a bare
Gradio page of as many components. It takes Chromium and Playwright, as the tests of the page do."""

import json
import shutil
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.commands.bench.page import OURS, bare_page, served
from engine.commands.bench.row import Say

LOADS = 5
# The shell draws no window and no tabs of its own: a quarter less time of the processor.
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
STILL_MS = 1500  # without another byte: the load has come to its end
PATIENCE_MS = 120_000
# When a text can be written and the button beside it pressed, looked for at every frame.
USABLE = """
(() => {
  const [field, button] = %s.map((css) => () => document.querySelector(css));
  const look = () => {
    const [text, press] = [field(), button()];
    const writes = text?.offsetParent && !text.disabled && !text.readOnly;
    if (writes && press && !press.disabled) window.headroomUsable = performance.now();
    else requestAnimationFrame(look);
  };
  look();
})();
"""


@dataclass(frozen=True)
class FirstLoad:
    """``kilobytes``: bodies as they came over the network, of 1,000 bytes; ``seconds``: until the
    form can be used."""

    kilobytes: float
    seconds: float


def can_measure() -> bool:
    """Whether there is a browser to measure with."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return False
    return any(map(shutil.which, CHROMIUM))


def first_loads(folder: Path, say: Say) -> tuple[FirstLoad, FirstLoad, int]:
    """Ours, a bare page's, and the number of components; medians of LOADS in turn."""
    bare, count = bare_page(folder)
    found: dict[str, list[FirstLoad]] = {"ours": [], "bare": []}
    with served(OURS, folder) as ours, served(bare, folder) as other, _browser() as browser:
        _load(browser, ours.url, ["#prompt textarea", "#generate"])  # what is made once is made
        _load(browser, other.url, ["textarea", "button"])
        for turn in range(LOADS):
            found["ours"].append(_load(browser, ours.url, ["#prompt textarea", "#generate"]))
            found["bare"].append(_load(browser, other.url, ["textarea", "button"]))
            say(f"load {turn + 1} of {LOADS}")
    medians = [
        FirstLoad(
            round(statistics.median(load.kilobytes for load in loads), 1),
            round(statistics.median(load.seconds for load in loads), 3),
        )
        for loads in found.values()
    ]
    return medians[0], medians[1], count


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def _load(browser: Any, url: str, form: list[str]) -> FirstLoad:
    """One load, in a browser that has nothing of it.

    Args:
        form: selectors of the field and of the button beside it.
    """
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(USABLE % json.dumps(form))
    tab = context.new_page()
    bodies: list[float] = []
    network = context.new_cdp_session(tab)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda told: bodies.append(told["encodedDataLength"]))
    tab.goto(url, wait_until="commit")
    tab.wait_for_function("window.headroomUsable")
    seconds = tab.evaluate("window.headroomUsable") / 1000
    before = -1
    while before != len(bodies):
        before = len(bodies)
        tab.wait_for_timeout(STILL_MS)
    context.close()
    return FirstLoad(sum(bodies) / 1000, seconds)
