"""The headroom tab in a real Chromium: a choice that stays, and reasons that open by keyboard."""

from typing import Any

from tests.support.browser import MARKS, choose_scripted, generate, settled

pytestmark = MARKS
SIZE = "#measure-size input"


def test_the_size_to_measure_stays_chosen_when_a_clip_ends(page: Any) -> None:
    choose_scripted(page)
    generate(page, "steps=40 step_seconds=0.2")
    page.wait_for_selector(".live-panel.running")
    page.click("#model input")
    page.click("[role=option] >> text=Wan tiny")
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#picture td.locked")
    first = page.input_value(SIZE)
    page.click(SIZE)
    page.locator("[role=option]").last.click()
    page.wait_for_function(
        "first => document.querySelector('#measure-size input').value !== first", arg=first
    )
    chosen = page.input_value(SIZE)
    assert page.locator(".live-panel.running").count() == 1, "it ended before the choice"
    with page.expect_response(lambda answer: "class='picture'" in answer.text()):
        pass
    settled(page)
    assert page.input_value(SIZE) == chosen


def test_a_verdicts_reason_opens_by_keyboard(page: Any) -> None:
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#picture td.locked")
    page.locator("#picture td.locked summary").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(
        "#picture td.locked details[open] >> text=No size this large has been tested"
    )


def test_kernels_are_timed_from_the_page(page: Any) -> None:
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#kernels >> text=times each way to multiply")
    page.click("#kernels-test")
    page.wait_for_selector("#kernels th >> text=Product")
    taken = page.locator("#kernels tr", has_text="✓").all_inner_texts()
    assert {row.split("\t")[1] for row in taken} == {"float32", "sdpa-float32", "flat"}
    assert page.locator("#kernels >> text=its default clip takes at least").count() == 2
