"""Many tabs of one browser, tabs that come back, and logins that end, in a real Chromium."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Gate, wait_until
from tests.support.browser import MARKS, choose_scripted, generate, open_page
from tests.support.served import LAZY, Served, serve

pytestmark = MARKS
VIEWPORT = {"width": 1366, "height": 768}
TABS = 5  # a browser opens six connections to a host, over all its tabs


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    made = chromium.new_context(viewport=VIEWPORT)
    yield made
    made.close()


def test_five_tabs_work_like_one(context: Any, served: Served, gate: Gate) -> None:
    tabs = [context.new_page() for _ in range(TABS)]
    for tab in tabs:
        open_page(tab, served)
    last = tabs[-1]
    choose_scripted(last)
    generate(last, "from the last tab")
    for tab in tabs:
        tab.wait_for_selector("[data-live=outcome][data-kind=good]")
    last.wait_for_selector("#strip .made img")
    tabs[0].close()
    generate(last, f"once more {gate}")
    last.wait_for_selector(".live-panel.running")
    gate.open()
    last.wait_for_selector(".live-panel:not(.running)")


def test_all_tabs_have_one_stream(context: Any, served: Served) -> None:
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        open_page(tab, served)
    wait_until(lambda: connections(served) == 1, "nothing open but the stream")
    tabs[0].close()
    tabs[1].reload()
    tabs[1].wait_for_selector(".live-panel[data-engine]")
    wait_until(lambda: connections(served) == 1, "nothing open but the stream")
    for tab in tabs[1:]:
        tab.close()
    wait_until(lambda: connections(served) == 0, "the stream's end with the last tab")


def connections(served: Served) -> int:
    """Those that browsers hold; what is idle ends by itself after 5 s."""
    found = psutil.Process(served.pid).net_connections("tcp")
    return sum(c.status == "ESTABLISHED" and c.laddr.port == served.port for c in found)


def test_a_browser_without_shared_workers_gets_a_stream_a_tab(
    context: Any, served: Served, gate: Gate
) -> None:
    context.add_init_script("delete window.SharedWorker")
    tab = context.new_page()
    open_page(tab, served)
    choose_scripted(tab)
    generate(tab, f"alone {gate}")
    tab.wait_for_selector(".live-panel.running")
    gate.open()
    tab.wait_for_selector(".live-panel:not(.running)")


@pytest.mark.parametrize("shared", [True, False])
def test_a_page_that_comes_back_goes_on(
    context: Any, served: Served, gate: Gate, shared: bool
) -> None:
    """What browsers tell a page that they keep while somebody looks at another one."""
    if not shared:
        context.add_init_script("delete window.SharedWorker")
    tab = context.new_page()
    open_page(tab, served)
    choose_scripted(tab)
    for _ in range(2):
        tab.evaluate(EVENT % "pagehide")
        wait_until(lambda: connections(served) == 0, "no connection of a page that was left")
        tab.evaluate(EVENT % "pageshow")
    generate(tab, f"after it came back {gate}")
    tab.wait_for_selector(".live-panel.running")
    gate.open()
    tab.wait_for_selector(".live-panel:not(.running)")


EVENT = "window.dispatchEvent(new PageTransitionEvent('%s', {persisted: true}))"


def test_a_login_that_a_restart_has_ended_is_told(chromium: Any, tmp_path: Path) -> None:
    """In a browser whose tabs share a stream, and in one where they can't."""
    program = (*LAZY, "--auth", "me:secret")
    environment = {**os.environ, "HEADROOM_HOME": str(tmp_path / "home")}
    browsers = {shared: chromium.new_context(viewport=VIEWPORT) for shared in (True, False)}
    browsers[False].add_init_script("delete window.SharedWorker")
    tabs = {shared: [one.new_page() for _ in range(2)] for shared, one in browsers.items()}
    first = serve(tmp_path / "first.log", environment=environment, program=program)
    try:
        for shared, context in browsers.items():
            log_in(context, first)
            for tab in tabs[shared]:
                open_page(tab, first)
        first.end(signal.SIGTERM)
        for tab in (*tabs[True], *tabs[False]):
            tab.wait_for_selector("[data-live=offline] >> text=reconnects by itself")
    finally:
        first.process.poll() is None and first.end(signal.SIGTERM)
    again = serve(tmp_path / "again.log", first.port, environment=environment, program=program)
    try:
        assert again.port == first.port, "somebody else took it meanwhile"
        asked: list[str] = []
        for shared, context in browsers.items():
            for tab in tabs[shared]:
                tab.wait_for_selector("[data-live=offline] >> text=Reload the page to log in")
            context.on("request", lambda request: asked.append(request.url))
        tabs[True][0].wait_for_timeout(5000)
        assert [url for url in asked if url.endswith("/live")] == []
        for shared, context in browsers.items():
            log_in(context, again)
            mine, other = tabs[shared]
            mine.reload()
            mine.wait_for_selector(".live-panel[data-engine]")
            assert mine.is_hidden("[data-live=offline]")
            if shared:  # the other tab hears what the first one has begun anew
                other.wait_for_selector("[data-live=offline]", state="hidden")
    finally:
        again.end(signal.SIGTERM)
        for context in browsers.values():
            context.close()


def test_the_buttons_log_out(context: Any, tmp_path: Path) -> None:
    """A browser's form says from where it was sent, which the page's own headers decide."""
    program = (*LAZY, "--auth", "me:secret")
    environment = {**os.environ, "HEADROOM_HOME": str(tmp_path / "home")}
    served = serve(tmp_path / "serve.log", environment=environment, program=program)
    try:
        for button in range(2):
            log_in(context, served)
            assert context.request.get(f"{served.url}config").ok
            tab = context.new_page()
            tab.goto(f"{served.url}logout")
            with tab.expect_navigation(url=served.url):
                tab.get_by_role("button").nth(button).click()
            assert context.request.get(f"{served.url}config").status == 401
            tab.close()
    finally:
        served.end(signal.SIGTERM)


def log_in(context: Any, served: Served) -> None:
    answer = context.request.post(
        f"{served.url}login", form={"username": "me", "password": "secret"}
    )
    assert answer.ok
