"""A real Chromium for the browser tests: its marks, and a tab that tells its faults."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engine.commands.bench.first_load import CHROMIUM as NAMES
from tests.support.served import Served

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("HEADROOM_REQUIRE_BROWSER"),
        reason="Chromium isn't installed",
    ),
]
PATIENCE = 120_000  # milliseconds: a wait of a busy machine is no failure
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
).split()


@contextmanager
def launched() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        browser.new_context = _patient(browser.new_context)
        browser.new_page = _patient(browser.new_page)
        yield browser
        browser.close()


def _patient(make: Callable[..., Any]) -> Callable[..., Any]:
    """What ``make`` makes, a context or a page, with waits of PATIENCE."""

    def made(**options: Any) -> Any:
        new = make(**options)
        new.set_default_timeout(PATIENCE)
        return new

    return made


@contextmanager
def watched(chromium: Any, served: Served, **options: Any) -> Iterator[Any]:
    """A fresh tab; it fails the test if the page says an error or talks to another host.

    Args:
        options: of the browser's context; the window has 1366 × 768 unless they say otherwise.
    """
    context = chromium.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(f"exception: {error}"))
    tab.on(
        "console",
        lambda message: faults.append(message.text) if message.type == "error" else None,
    )
    tab.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((served.url, "data:", "blob:"))
            else faults.append(f"foreign request: {request.url}")
        ),
    )
    open_page(tab, served)
    yield tab
    context.close()
    assert faults == [], faults


def open_page(tab: Any, served: Served) -> None:
    tab.goto(served.url)
    tab.wait_for_selector(".live-panel[data-engine]")  # told by the live stream


SETTLED = """
async () => {
  const frame = () => new Promise(requestAnimationFrame);
  // A clip's bar and its tile are never still while it is made.
  const runs = (one) => one.playState === "running" && one.effect.getTiming().iterations < 1e6
    && !one.effect.target.closest(".progress, .tile-picture");
  const end = performance.now() + 5000;
  for (let calm = 0; calm < 5 && performance.now() < end; calm += 1) {
    const asked = performance.getEntriesByType("resource").length;
    await frame();
    const answered = performance.getEntriesByType("resource").length !== asked;
    if (answered || document.getAnimations().some(runs)) calm = -1;
  }
}
"""


def settled(tab: Any) -> None:
    """Wait until what was set off has come to its end: what fades has faded, and some frames were
    drawn without another answer. A request that is under way is the caller's to wait for."""
    tab.evaluate(SETTLED)


def serious_faults(tab: Any, within: str | None = None) -> list[str]:
    """What axe finds that keeps somebody from using the page; it tells nothing of what is right,
    which would be half of its work."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab, context=within, options={"resultTypes": ["violations"]})
    return [
        f"{fault['id']}: {node['html'][:200]}"
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def choose_scripted(tab: Any) -> None:
    tab.click("#model input")
    tab.click('[role=option] >> text="Scripted"')
    tab.wait_for_selector("#size >> text=48 × 32")


def generate(tab: Any, prompt: str) -> None:
    tab.fill("#prompt textarea", prompt)
    tab.click("#generate")


def shared(owner: Any) -> tuple[str, str]:
    """Share in this network from the owner's tab; returns the address and the password."""
    owner.wait_for_selector("#prompt textarea", state="attached")
    owner.get_by_role("tab", name="Share").click()
    owner.click("#share-model input")
    owner.click('[role=option] >> text="Scripted"')
    owner.click("#share-where >> text=In your own network only")
    owner.click("#share-start")
    owner.wait_for_selector("#share-password")
    return owner.inner_text("#share-address"), owner.inner_text("#share-password")
