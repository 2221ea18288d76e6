"""The engine's notice in a real Chromium: it isn't said twice, can be dismissed, and has an end."""

import os
import signal
from typing import Any

import psutil

from tests.conftest import Gate
from tests.support.browser import MARKS, choose_scripted, generate, open_page
from tests.support.served import Served

pytestmark = MARKS
NOTICE = "[data-live=notice]"


def kill_worker(page: Any, served: Served, gate: Gate) -> None:
    """Have the engine's process killed while it makes a clip; then the clip is made."""
    generate(page, str(gate))
    page.wait_for_selector(".live-panel.running")
    page.wait_for_selector("[data-live=stage] >> text=Denoising")
    (worker,) = workers(served)
    os.kill(worker, signal.SIGKILL)
    page.wait_for_selector(f"{NOTICE} >> text=the clip is being retried")
    gate.open()


def workers(served: Served) -> list[int]:
    found = psutil.Process(served.pid).children(recursive=True)
    return [child.pid for child in found if "spawn_main" in " ".join(child.cmdline())]


def test_a_notice_is_dismissed_for_every_tab(
    chromium: Any, page: Any, served: Served, gate: Gate
) -> None:
    choose_scripted(page)
    kill_worker(page, served, gate)
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    assert page.is_visible(NOTICE), "the second try is what it is about"
    other = chromium.new_page()
    open_page(other, served)
    other.wait_for_selector(NOTICE)
    page.get_by_role("button", name="Dismiss", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(NOTICE, state="hidden")
    other.wait_for_selector(NOTICE, state="hidden")
    page.reload()
    page.wait_for_selector(".live-panel[data-engine]")
    assert page.is_hidden(NOTICE)
    other.close()


def test_a_notice_goes_with_the_next_clip_that_is_made_well(
    page: Any, served: Served, gate: Gate
) -> None:
    choose_scripted(page)
    kill_worker(page, served, gate)
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    generate(page, "steps=2 third")
    page.wait_for_selector(NOTICE, state="hidden")


def test_red_and_amber_dont_say_the_same(page: Any, served: Served) -> None:
    choose_scripted(page)
    generate(page, "fail=broken at=denoise:2")
    page.wait_for_selector("[data-live=outcome][data-kind=bad]")
    page.wait_for_selector(f"{NOTICE} >> text=The engine was restarted.")
    outcome, notice = page.inner_text("[data-live=outcome]"), page.inner_text(NOTICE)
    assert "the clip was given up" in outcome
    assert notice.endswith("The engine was restarted.")
    assert len(notice) < len("00:00  The engine was restarted.") + 3
