"""The queue in a real Chromium: a batch, reordered, edited, removed, tried again, cleared."""

import json
import re
from typing import Any

from tests.support.browser import MARKS, choose_scripted, open_page
from tests.support.served import Served

pytestmark = MARKS
ROW = "#strip [data-queue=waiting] li:nth-child(%d)"
BLOCKER = "steps=400 step_seconds=0.2 the one that runs"


def titles(tab: Any) -> list[str]:
    return list(tab.locator("#strip [data-queue=waiting] .title").all_inner_texts())


def wait_for(tab: Any, wanted: list[str]) -> None:
    tab.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll("
        "'#strip [data-queue=waiting] .title')].map(n => n.textContent)) === wanted",
        arg=json.dumps(wanted, separators=(",", ":")),
    )


def refuse_what_began(tab: Any) -> None:
    """A row that is still drawn, of the job that runs by now."""
    number = tab.text_content("[data-live=job]")
    tab.evaluate(
        "id => { headroomQueue.waiting = [{ id, kind: 'clip', title: 'old', size: '', starts: '',"
        " why: '', verdict: '' }]; window.dispatchEvent(new Event('headroom-queue')); }",
        int(number),
    )
    tab.click(ROW % 1 + " [data-do=edit]")
    tab.wait_for_selector(f"#strip [data-queue=told] >> text=Job {number} is no longer waiting")
    assert not tab.is_visible("#save-job")


def cancel_what_ended(tab: Any) -> None:
    """A press meant for a job that is over by the time that it arrives: what runs goes on."""
    shown = tab.text_content("[data-live=job]")
    ended = tab.get_attribute("#strip [data-queue=ended] li", "data-job")
    tell = "text => { document.querySelector('[data-live=job]').textContent = text; }"
    tab.evaluate(tell, ended)
    with tab.expect_response(re.compile("component_server")):
        tab.click("#cancel")
    tab.wait_for_timeout(1500)  # a cancel would have ended it by then
    assert tab.is_visible(".live-panel.running")
    tab.evaluate(tell, shown)


def test_a_batch_is_ordered_edited_and_cleared(page: Any, served: Served) -> None:
    choose_scripted(page)
    page.click("#more >> text=Batch and receipt")
    page.click("#lines input")
    page.fill("#prompt textarea", f"{BLOCKER}\none\ntwo\nthree")
    page.click("#generate")
    page.wait_for_selector(".live-panel.running")
    wait_for(page, ["one", "two", "three"])
    page.focus(ROW % 3 + " [data-do=up]")
    page.keyboard.press("Enter")
    wait_for(page, ["one", "three", "two"])
    assert page.evaluate("document.activeElement.dataset.do") == "up", "the focus stays"
    page.focus(ROW % 1 + " [data-do=cancel]")
    page.keyboard.press("Enter")
    wait_for(page, ["three", "two"])
    assert "three" in page.evaluate("document.activeElement.textContent"), "the next row has it"
    assert page.evaluate("document.activeElement.tagName") == "LI", "no button of it"

    typed = "half a sentence that nobody saved"
    page.fill("#prompt textarea", typed)
    page.click(ROW % 2 + " [data-do=edit]")
    page.wait_for_selector("dialog >> text=Edit queued clip 2")
    assert page.input_value("dialog textarea") == "two"
    page.fill("dialog textarea", "two, but better")
    page.fill("dialog [name=seed]", "seven")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("dialog .refusal >> text=seed")
    page.fill("dialog [name=seed]", "7")
    page.keyboard.press("Control+Enter")
    wait_for(page, ["three", "two, but better"])
    assert page.input_value("#prompt textarea") == typed, "the form is as it was"
    assert not page.is_visible("#save-job")
    page.click(ROW % 2 + " [data-do=edit]")
    page.wait_for_selector("#save-job")
    assert page.input_value("dialog [name=seed]") == "7"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")

    open_page(page, served)  # another visit: the queue isn't the tab's
    wait_for(page, ["three", "two, but better"])
    page.click("#strip [data-queue=ended] li:nth-child(1) [data-do=again]")
    wait_for(page, ["three", "two, but better", "one"])
    page.click("#strip [data-do=cancel_waiting]")
    wait_for(page, [])
    refuse_what_began(page)
    cancel_what_ended(page)
    page.click("#cancel")
    page.wait_for_function("!document.querySelector('.live-panel.running')")
    page.click("#strip [data-do=clear_ended]")
    page.wait_for_selector("#strip [data-queue=ended] li", state="detached")
