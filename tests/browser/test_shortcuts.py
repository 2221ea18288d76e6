"""The keyboard's shortcuts: what the list says is what the keys do."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import (
    MARKS,
    choose_scripted,
    open_page,
    serious_faults,
    settled,
    watched,
)
from tests.support.served import Served

pytestmark = MARKS

LIST = "dialog.keys"
IS_DARK = {"light": "false", "dark": "true"}
FOCUS = "document.activeElement.closest('[id], [data-shortcuts]')?.id ?? ''"
ROWS = """
[...document.querySelectorAll("dialog.keys dl > div")].map((row) => [
  [...row.querySelectorAll("kbd")].map((key) => key.textContent).join("+"),
  row.querySelector("dd").textContent,
])
"""


@pytest.fixture
def page(same_page: Any) -> Iterator[Any]:
    yield same_page
    same_page.keyboard.press("Escape")
    same_page.wait_for_selector(LIST, state="detached")
    same_page.get_by_role("tab", name="Create").click()
    same_page.fill("#prompt textarea", "")


def blur(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")


def test_the_list_names_each_key(page: Any) -> None:
    blur(page)
    page.keyboard.press("?")
    page.wait_for_selector(LIST)
    rows = dict(page.evaluate(ROWS))
    assert (
        rows.items()
        >= {
            "Ctrl+Enter": "Generate",
            "/": "Write the prompt",
            "Esc": "Close a dialog or list",
            "?": "Show this list",
        }.items()
    )
    page.keyboard.press("?")
    assert page.locator(LIST).count() == 1
    page.keyboard.press("Escape")
    page.wait_for_selector(LIST, state="detached")


def test_every_row_of_the_list_is_told_once_and_in_words(page: Any) -> None:
    blur(page)
    page.keyboard.press("?")
    page.wait_for_selector(LIST)
    told = [does for _, does in page.evaluate(ROWS)]
    assert len(told) == len(set(told))
    assert [one for one in told if one in ("", "undefined") or "script." in one] == []


def test_the_button_opens_it_and_gets_the_focus_back(page: Any) -> None:
    button = page.get_by_role("button", name="Keyboard shortcuts")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(LIST)
    page.get_by_role("button", name="Close").click()
    page.wait_for_selector(LIST, state="detached")
    assert page.evaluate("document.activeElement.matches('[data-shortcuts]')")


def test_a_press_beside_the_list_closes_it(page: Any) -> None:
    page.click("[data-shortcuts]")
    page.wait_for_selector(LIST)
    page.mouse.click(5, 5)
    page.wait_for_selector(LIST, state="detached")


def test_no_key_is_taken_from_a_text(page: Any) -> None:
    page.fill("#prompt textarea", "")
    page.focus("#prompt textarea")
    page.keyboard.type("who/what?")
    assert page.input_value("#prompt textarea") == "who/what?"
    assert page.locator(LIST).count() == 0


def test_the_slash_goes_to_the_prompt_from_anywhere(page: Any) -> None:
    blur(page)
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.closest('#prompt')")
    assert page.input_value("#prompt textarea") == "", "the sign itself isn't written"
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector("#library", state="visible")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.closest('#prompt')")
    assert page.is_visible("#prompt textarea")


@pytest.mark.parametrize("key", ["Control+Enter", "Meta+Enter"])
def test_enter_with_ctrl_or_command_generates_what_was_just_typed(page: Any, key: str) -> None:
    choose_scripted(page)
    page.fill("#prompt textarea", "steps=4 step_seconds=0.3")
    page.focus("#prompt textarea")
    page.keyboard.press("End")
    page.keyboard.type(f" with {key}")
    page.keyboard.press(key)
    page.wait_for_function(
        "words => document.querySelector('[data-live=title]').textContent === words",
        arg=f"steps=4 step_seconds=0.3 with {key}",
    )
    assert page.evaluate("document.activeElement.closest('#prompt') !== null")
    page.wait_for_selector(".live-panel:not(.running)")


def test_nothing_is_generated_behind_a_dialog_or_from_another_tab(page: Any) -> None:
    page.evaluate(
        "document.querySelector('#generate').addEventListener('click', () => window.asked = true)"
    )
    page.click("[data-shortcuts]")
    page.wait_for_selector(LIST)
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector("#library", state="visible")
    page.keyboard.press("Control+Enter")
    page.get_by_role("tab", name="Create").click()
    assert page.evaluate("window.asked") is None


def test_a_part_adds_its_own_keys_to_the_list(chromium: Any, served: Served) -> None:
    with watched(chromium, served) as page:
        page.evaluate(
            """() => {
              window.pressed = 0;
              for (const now of [false, true]) {
                headroomKeys.add({
                  keys: ["x", "Mod+ArrowLeft"], group: "script.compare", does: "script.pause",
                  when: () => now, act: () => { window.pressed += now ? 1 : 100; },
                });
              }
            }"""
        )
        blur(page)
        page.keyboard.press("x")
        page.keyboard.press("Control+ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("window.pressed") == 2
        page.keyboard.press("?")
        page.wait_for_selector(LIST)
        assert ["X+Ctrl+←", "Pause"] in page.evaluate(ROWS)
        assert page.locator(f"{LIST} h3").all_inner_texts()[-1] == "Compare"


def test_the_list_is_sound_for_screen_readers(chromium: Any, served: Served) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN")
    tab = context.new_page()
    open_page(tab, served)
    tab.evaluate("document.activeElement.blur()")  # the prompt has the focus
    tab.keyboard.press("?")  # a narrow window has no button for it
    tab.wait_for_selector(LIST)
    assert tab.inner_text("#keys-title") == "键盘快捷键"
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function(f"document.body.classList.contains('dark') === {IS_DARK[scheme]}")
        settled(tab)
        assert serious_faults(tab, LIST) == [], scheme
    assert tab.evaluate("document.querySelector('dialog.keys').scrollWidth <= innerWidth")
    context.close()
