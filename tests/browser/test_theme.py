"""The theme's switch of both pages: system, light, dark; kept, and set before the first paint."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.machine.addresses import own_addresses
from tests.conftest import wait_until
from tests.support.browser import MARKS, open_page, shared
from tests.support.served import Served

pytestmark = MARKS

IS_DARK = "document.body.classList.contains('dark')"
SWITCH = "[data-theme-switch]"
# The colours of every frame that is drawn.
FRAMES = """
window.headroomFrames = [];
(function look() {
  if (document.body) window.headroomFrames.push(getComputedStyle(document.body).backgroundColor);
  requestAnimationFrame(look);
})();
"""


@pytest.fixture(scope="module")
def same_page(chromium: Any, served: Served) -> Iterator[Any]:
    context = chromium.new_context(color_scheme="dark")
    made = context.new_page()
    open_page(made, served)
    yield made
    context.close()


@pytest.fixture
def tab(same_page: Any) -> Iterator[Any]:
    """In a system that is dark, and as that is, before and after."""
    yield same_page
    same_page.emulate_media(color_scheme="dark")
    while name(same_page) != "Theme: as the system":
        same_page.click(SWITCH)
    assert same_page.evaluate(IS_DARK)


def name(tab: Any) -> str:
    return str(tab.get_by_role("button", name="Theme:").inner_text()).strip()


def test_the_switch_goes_round_and_each_state_has_a_name(tab: Any) -> None:
    seen = []
    for _ in range(4):
        seen.append((name(tab), tab.evaluate(IS_DARK)))
        tab.click(SWITCH)
    assert seen == [
        ("Theme: as the system", True),
        ("Theme: light", False),
        ("Theme: dark", True),
        ("Theme: as the system", True),
    ]


def test_the_keyboard_switches_and_keeps_its_place(tab: Any) -> None:
    tab.focus(SWITCH)
    tab.keyboard.press("Enter")
    assert name(tab) == "Theme: light"
    tab.keyboard.press("Space")
    assert name(tab) == "Theme: dark"
    assert tab.evaluate("document.activeElement.matches('[data-theme-switch]')")


def test_as_the_system_follows_it_and_a_choice_does_not(tab: Any) -> None:
    tab.emulate_media(color_scheme="light")
    tab.wait_for_function(f"!{IS_DARK}")
    tab.click(SWITCH)
    tab.click(SWITCH)
    assert tab.evaluate(IS_DARK)
    tab.emulate_media(color_scheme="dark")
    tab.emulate_media(color_scheme="light")
    tab.wait_for_function("matchMedia('(prefers-color-scheme: light)').matches")
    assert tab.evaluate(IS_DARK)


@pytest.mark.parametrize(("choice", "system"), [("light", "dark"), ("dark", "light")])
def test_a_choice_is_kept_and_never_flashes(
    chromium: Any, served: Served, choice: str, system: str
) -> None:
    """Neither the system's theme nor Gradio's own way to ask for one is seen for a frame."""
    context = chromium.new_context(color_scheme=system)
    tab = context.new_page()
    open_page(tab, served)
    while tab.get_attribute("html", "data-theme-choice") != choice:
        tab.click(SWITCH)
    chosen = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.add_init_script(FRAMES)
    for query in ("", f"?__theme={system}"):
        tab.goto(served.url + query)
        tab.wait_for_selector(".live-panel[data-engine]")
        assert set(tab.evaluate("headroomFrames")) == {chosen}
        assert tab.evaluate(IS_DARK) == (choice == "dark")
    context.close()


def test_another_tab_follows(tab: Any, served: Served) -> None:
    other = tab.context.new_page()
    open_page(other, served)
    other.click(SWITCH)
    tab.wait_for_function(f"!{IS_DARK}")
    assert name(tab) == "Theme: light"
    other.close()


def test_chinese_has_the_names(chromium: Any, served: Served) -> None:
    context = chromium.new_context(locale="zh-CN")
    tab = context.new_page()
    open_page(tab, served)
    tab.get_by_role("button", name="主题：跟随系统").click()
    tab.get_by_role("button", name="主题：浅色").wait_for()
    context.close()


@pytest.mark.skipif(not own_addresses(), reason="this machine is in no network")
def test_visitors_have_it_as_well(page: Any, chromium: Any) -> None:
    address, _ = shared(page)
    context = chromium.new_context(color_scheme="light")
    guest = context.new_page()
    guest.goto(address)
    light = guest.evaluate("getComputedStyle(document.body).backgroundColor")
    guest.get_by_role("button", name="Theme: as the system").click()
    guest.get_by_role("button", name="Theme: light").click()
    guest.get_by_role("button", name="Theme: dark").wait_for()
    dark = guest.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    guest.add_init_script(FRAMES)
    guest.reload()
    wait_until(lambda: guest.evaluate("headroomFrames.length > 5"), "some frames")
    assert set(guest.evaluate("headroomFrames")) == {dark}
    context.close()
    page.click("#share-stop")
    page.wait_for_selector("#share-told >> text=Sharing has ended")
