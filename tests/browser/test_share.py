"""Sharing in a real Chromium: it opens, a visitor makes a clip, it is shut."""

import functools
from typing import Any

import pytest

from engine.machine.addresses import own_addresses
from tests.conftest import wait_until
from tests.support.browser import MARKS, open_page, shared
from tests.support.served import Served

pytestmark = [
    *MARKS,
    pytest.mark.skipif(not own_addresses(), reason="this machine is in no network"),
]
BAD = "document.title='hacked'"
HOSTILE = f"steps=2 <img src=x onerror={BAD}><script>{BAD}</script>"


def test_a_visitor_comes_makes_a_clip_and_is_shut_out(page: Any, chromium: Any) -> None:
    address, password = shared(page)
    assert page.locator(".qr svg").count() == 1

    context = chromium.new_context(viewport={"width": 390, "height": 844}, bypass_csp=False)
    guest, faults = context.new_page(), []
    guest.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    guest.on("pageerror", lambda error: faults.append(str(error)))
    guest.goto(f"{address}#{password}")
    guest.wait_for_selector("#enter", state="visible")
    assert guest.url == address, "the password doesn't stay in the address"
    guest.fill("#enter [name=name]", HOSTILE[:30])
    guest.click("#enter button")
    guest.wait_for_selector("#make", state="visible")
    guest.fill("#make textarea", HOSTILE)
    guest.click("#make button")
    guest.wait_for_selector("#jobs video")
    guest.evaluate(
        "() => { const v = document.querySelector('video'); v.loop = false;"
        " v.onended = () => { v.dataset.ended = 'yes'; }; v.play(); }"
    )
    guest.wait_for_selector("video[data-ended]")
    assert HOSTILE in guest.inner_text("#jobs")
    assert "hacked" not in (guest.title(), page.title())
    # A guest that isn't let in yet is told so with 401, which browsers log.
    assert [f for f in faults if "401" not in f] == []

    page.wait_for_selector("#share-live >> text=1 done, 0 unfinished")
    assert "1 visitor" in page.inner_text(".head .shared")
    page.reload()
    page.wait_for_selector(".head .shared >> text=1 visitor")
    page.get_by_role("tab", name="Share").click()
    page.wait_for_selector("#share-told >> text=was shown once")
    # The tab was made after the stream had told this, and nothing of it changes in a minute.
    page.wait_for_selector("#share-live >> text=1 done, 0 unfinished")
    assert page.inner_text("[data-live=share-text]").startswith(f"Shared at {address}, ")
    assert password not in page.content()
    page.click("#share-stop")
    page.wait_for_selector("#share-told >> text=Sharing has ended")
    # Told by the share's last answer, or by there being none: its poll may fall into either.
    guest.wait_for_selector("#told >> text=/share (has|may have) ended/")
    page.wait_for_selector("#share-start", state="visible")
    context.close()


def test_the_end_of_a_share_takes_its_password_from_every_tab(page: Any, served: Served) -> None:
    """What ends it is another tab here; its time ends it by the same way."""
    _, password = shared(page)
    other = page.context.new_page()
    open_page(other, served)
    other.get_by_role("tab", name="Share").click()
    other.click("#share-stop")
    for tab in (page, other):
        tab.wait_for_selector("#share-told >> text=Sharing has ended")
        tab.wait_for_selector("#share-start", state="visible")
        assert tab.is_hidden("#share-stop")
        assert password not in tab.content()
    # The event of the end comes late for one who shares again at once.
    _, password = shared(page)
    page.wait_for_timeout(1000)
    assert page.inner_text("#share-password") == password
    page.click("#share-stop")
    page.wait_for_selector("#share-told >> text=Sharing has ended")


def test_a_visitors_button_stays_while_the_clip_is_made(page: Any, chromium: Any) -> None:
    address, password = shared(page)
    context = chromium.new_context()
    guest = context.new_page()
    guest.goto(f"{address}#{password}")
    guest.click("#enter button")
    guest.fill("#make textarea", "steps=400 step_seconds=0.1")
    guest.click("#make button")
    guest.wait_for_selector("#jobs progress")
    guest.wait_for_selector("#jobs .small >> text=Denoising")
    guest.evaluate("window.kept = document.querySelector('#jobs button'), kept.focus()")
    for _ in range(2):
        told = guest.inner_text("#jobs .small")
        wait_until(functools.partial(told_otherwise, guest, told), "progress")
    assert guest.evaluate("document.activeElement === kept && kept.isConnected")
    assert guest.evaluate("document.querySelector('#jobs progress').value") > 0
    box = guest.locator("#jobs button").bounding_box()
    guest.route("**/cancel", lambda route: route.abort())
    guest.mouse.move(box["x"] + 5, box["y"] + 5)
    guest.mouse.down()
    for _ in range(2):  # the button is held while the list is drawn anew
        with guest.expect_response("**/state"):
            pass
    guest.mouse.up()
    guest.wait_for_selector("#told >> text=can't be reached. Try again, or ask the owner.")
    guest.unroute("**/cancel")
    guest.keyboard.press("Enter")
    guest.wait_for_selector("#jobs >> text=Cancelled.")
    context.close()
    page.click("#share-stop")
    page.wait_for_selector("#share-told >> text=Sharing has ended")


def told_otherwise(guest: Any, before: str) -> bool:
    return bool(guest.inner_text("#jobs .small") != before)
