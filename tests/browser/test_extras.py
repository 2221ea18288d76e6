"""Pause, presets and variants as somebody at the page has them, by mouse and by keyboard."""

from typing import Any

import pytest

from tests.support.browser import MARKS, choose_scripted, generate, settled, watched
from tests.support.served import Served

pytestmark = MARKS
CHOSEN = "#size input:checked, #frames input:checked"


def chosen(tab: Any) -> list[str]:
    return list(tab.eval_on_selector_all(CHOSEN, "all => all.map((one) => one.value)"))


def preset(tab: Any) -> str:
    return str(tab.input_value("#saved input"))


def visible(tab: Any) -> list[str]:
    """The pause's buttons that can be pressed."""
    return list(
        tab.eval_on_selector_all(
            "#pausing button", "all => all.filter((b) => b.offsetParent).map((b) => b.innerText)"
        )
    )


def test_a_preset_is_saved_by_keyboard_and_had_again(page: Any) -> None:
    # A list that was asked for as the page opens could come after the one with the new preset.
    with page.expect_response(lambda answer: answer.request.method == "POST") as asked:
        page.reload()
    asked.value.finished()
    page.fill("#seed input", "7")
    page.press("#seed input", "Tab")
    page.focus("#saved-open")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saved-name input:focus")
    page.keyboard.type("Draft <b>480p</b>")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Saved as “Draft <b>480p</b>”.")
    assert preset(page) == "Draft <b>480p</b>"
    before = chosen(page)
    page.click("#frames label >> nth=0")
    page.wait_for_function("() => document.querySelector('#saved input').value === 'Presets'")
    settled(page)
    assert page.inner_text("#saved-said").strip() == "", "what it said isn't true any more"
    assert chosen(page) != before
    page.fill("#seed input", "9")
    page.focus("#saved input")
    page.keyboard.press("ArrowDown")
    page.click("[role=option] >> text=Draft <b>480p</b>")
    page.wait_for_selector("text=Preset “Draft <b>480p</b>” is set.")
    settled(page)
    assert chosen(page) == before
    assert page.input_value("#seed input") == "7"
    assert preset(page) == "Draft <b>480p</b>", "and it stays chosen"


def test_a_preset_is_renamed_deleted_and_brought_back(page: Any) -> None:
    page.click("#saved-open")
    page.fill("#saved-name input", "Night")
    page.click("#saved-save")
    page.wait_for_selector("text=Saved as “Night”.")
    page.fill("#saved-name input", "Day")
    page.click("#saved-rename")
    page.wait_for_selector("text=Renamed to “Day”.")
    page.click("#saved-delete")
    page.wait_for_selector("text=Deleted “Day”.")
    assert preset(page) == "Presets"
    page.click("#saved-undo")
    page.wait_for_selector("text=Undone.")
    page.click("#saved input")
    options = page.locator("#saved [role=option], [role=listbox] [role=option]").all_inner_texts()
    assert any("Day" in option for option in options)
    page.keyboard.press("Escape")
    page.click("#saved-delete")
    page.wait_for_selector("[role=alert] >> text=No preset is chosen.")


def test_pause_and_resume_by_keyboard_in_every_tab(
    page: Any, served: Served, chromium: Any
) -> None:
    choose_scripted(page)
    with watched(chromium, served) as other:
        generate(page, "steps=60 step_seconds=0.2")
        page.wait_for_selector("#pausing [data-do=now]")
        assert visible(page) == ["Pause", "Pause now"]
        page.focus("#pausing [data-do=pause]")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Pauses when this clip is finished.")
        assert visible(page) == ["Pause now", "Resume"]
        assert page.evaluate("document.activeElement.dataset.do") == "resume", "focus isn't lost"
        other.wait_for_selector("#pausing [data-do=resume]")
        other.click("#pausing [data-do=now]")
        page.wait_for_selector("text=Paused. The memory is free; 1 clip waits.")
        page.wait_for_selector("#strip li[data-job]")
        assert visible(page) == ["Resume"]
        generate(page, "queued all the same")
        page.wait_for_selector("text=Paused. The memory is free; 2 clips wait.")
        assert "starts" not in page.inner_text("#strip")
        page.focus("#pausing [data-do=resume]")
        page.keyboard.press("Enter")
        other.wait_for_selector("#pausing [data-do=pause]")
        page.wait_for_selector(".live-panel.running")
        page.click("#cancel")
        page.wait_for_selector(".live-panel:not(.running)", timeout=60_000)


@pytest.mark.parametrize("typed", ["a {red|blue} ball"])
def test_variants_are_clips_whose_prompts_come_back_whole(page: Any, typed: str) -> None:
    choose_scripted(page)
    page.click("#pausing [data-do=pause]")
    page.wait_for_selector("#pausing [data-do=resume]")
    generate(page, typed)
    page.wait_for_selector("#strip .title >> text=a red ball")
    page.wait_for_selector("#strip .title >> text=a blue ball")
    generate(page, r"\{red|blue\} ball")
    row = page.locator("#strip li[data-job]", has_text="{red|blue} ball")
    row.locator("[data-do=edit]").click()
    page.wait_for_selector("#save-job")
    assert page.input_value(".edit-job [name=prompt]") == r"\{red\|blue\} ball"
    page.click("#save-job")
    page.wait_for_selector("#save-job", state="detached")
    assert page.locator("#strip li[data-job]", has_text="{red|blue} ball").count() == 1
    generate(page, "{red|blue")
    page.wait_for_selector("#error >> text=nothing closes the { at character 1")
    page.click("#strip [data-do=cancel_waiting]")
    page.click("#pausing [data-do=resume]")
    page.wait_for_selector("#pausing [data-do=pause]")
