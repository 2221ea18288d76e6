"""A newcomer's way over the page, as people go it: by mouse, by keyboard, in both themes, and with
what a screen reader would be told."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browser import MARKS, generate, open_page, serious_faults, settled, watched
from tests.support.served import Served, serving_as_it_comes

pytestmark = MARKS

SCHEMES = ("light", "dark")
TABS = ["Create", "Library", "Models", "Memory", "Share"]
# README's picture: HEADROOM_SCREENSHOTS=docs pytest tests/browser/test_newcomer.py
KEPT = os.environ.get("HEADROOM_SCREENSHOTS")
PLAYS = "(() => { const v = document.querySelector('#clip video'); return v && %s })()"
CARD = "document.querySelector('#size .selected')"
BAR = "document.querySelector('.progress').ariaValueNow"
TOLD = """
window.told = [];
window.Notification = class {
  static permission = "granted";
  static requestPermission() { window.told.push("asked"); return Promise.resolve("granted"); }
  constructor(title, { body }) { window.told.push(`${title} | ${body}`); }
};
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving_as_it_comes(tmp_path_factory.mktemp("newcomer")) as running:
        yield running


@pytest.mark.model
def test_the_whole_way_of_a_newcomer(page: Any, served: Served) -> None:
    """Open, read, choose, generate, watch, play, reload the settings, cancel, measure, open."""
    page.wait_for_selector("#stage .example")
    assert page.is_hidden("#next")
    assert page.is_hidden("#cancel"), "there is nothing to cancel"
    page.click("#frames label:has-text('2.1 s')")
    page.wait_for_selector("#truth .locked")
    page.click("#frames label:has-text('1.1 s')")
    page.wait_for_selector("#truth >> text=Fits: up to")

    page.click("#stage .example >> nth=0")
    page.wait_for_selector(".live-panel.running")
    prompt = page.input_value("#prompt textarea")
    assert len(prompt) > 10
    page.wait_for_function(f"Number({BAR}) > 0 && Number({BAR}) < 100")
    page.wait_for_function("/^\\d+ % Headroom/.test(document.title)")
    page.click("#gauge summary")
    page.wait_for_selector("[data-live=gauge-split] >> text=this program")
    page.click("#gauge summary")
    page.wait_for_function(PLAYS % "v.readyState >= 2 && v.currentTime > 0.2")
    assert page.evaluate(PLAYS % "v.loop")
    page.wait_for_function("document.title === 'Headroom'")
    page.wait_for_function(rf"/\d s, \d+ MB/.test({CARD}?.innerText)")
    page.wait_for_function("/, about \\d/.test(document.querySelector('#truth p').textContent)")

    page.fill("#prompt textarea", "something else")
    page.click("#strip li.made button >> nth=0")
    page.click("#use-settings")
    page.wait_for_function(
        "p => document.querySelector('#prompt textarea').value === p", arg=prompt
    )
    assert page.input_value("#seed input").isdigit()

    page.click("#size label:has-text('256 × 256')")
    page.wait_for_selector("#truth .locked")
    assert "not tested yet" in page.inner_text("#size label.selected")
    page.click("#generate >> text=Test this size")
    page.wait_for_selector(".live-panel.running")
    page.wait_for_selector("#truth .open")
    page.click("#generate >> text=Generate")
    page.wait_for_selector(".live-panel.running")
    page.click("#cancel")
    page.wait_for_selector("[data-live=outcome] >> text=Cancelled.")


@pytest.mark.model
def test_the_clip_on_show_is_made_again_and_larger(page: Any, served: Served) -> None:
    def shown() -> str:
        return str(page.evaluate(PLAYS % "v.src"))

    def press(button: str) -> None:
        before = shown()
        page.click(button)
        page.wait_for_function(PLAYS % f"v.src !== {before!r}")

    page.click("#size label:has-text('64 × 64')")
    generate(page, "a blue star bounces")
    page.wait_for_selector("#stage .caption >> text=blue star")
    for button in ("#same-again", "#new-seed", "#larger"):
        press(button)
    page.wait_for_selector("#size label.selected:has-text('128 × 128')")
    assert page.input_value("#prompt textarea") == "a blue star bounces"
    clips = httpx.get(f"{served.url}library?words=star", trust_env=False).json()["clips"]
    larger, new, same, first = clips[:4]
    assert larger["seed"] == new["seed"] != same["seed"] == first["seed"]
    assert (larger["width"], new["width"], same["width"], first["width"]) == (128, 64, 64, 64)


@pytest.mark.model
def test_the_keyboard_is_enough(page: Any, served: Served) -> None:
    page.focus("#prompt textarea")
    page.keyboard.type("a green ring moves right")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#size') !== null"):
            break
    assert page.evaluate("document.activeElement.closest('#size') !== null")
    outline = page.evaluate(
        "getComputedStyle(document.activeElement.closest('label')).outlineStyle"
    )
    assert outline == "solid", "where the keyboard is can be seen"
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".live-panel.running")
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    page.wait_for_selector("#stage .caption >> text=green ring")


@pytest.mark.model
def test_a_clip_that_nobody_watches_is_told(chromium: Any, served: Served) -> None:
    """Headless tabs have no notifications: what the page asks of the browser is written down."""
    context = chromium.new_context()
    try:
        tab = context.new_page()
        tab.add_init_script(TOLD.replace('"granted";', '"default";', 1))
        open_page(tab, served)
        for _ in range(2):
            # A press while another one is under way is none.
            with tab.expect_response("**/gradio_api/run/**"):
                generate(tab, "")
            tab.wait_for_selector("#error >> text=Write a prompt first")
        assert tab.evaluate("window.told") == ["asked"], "asked once"
        tab.evaluate("Notification.permission = 'granted'; document.hasFocus = () => false")
        generate(tab, "a white moon drifts up")
        tab.wait_for_function("window.told.length > 1")
        assert tab.evaluate("window.told[1]") == "Done. | a white moon drifts up"
        assert tab.title() == "✓ Headroom"
        tab.evaluate("document.hasFocus = () => true; window.dispatchEvent(new Event('focus'))")
        assert tab.title() == "Headroom"
    finally:
        context.close()


@pytest.mark.parametrize("width", [1366, 390])
def test_no_serious_fault_for_who_cant_see_well(chromium: Any, served: Served, width: int) -> None:
    size = {"width": width, "height": 768 if width > 400 else 844}
    with watched(chromium, served, viewport=size, reduced_motion="reduce") as tab:
        found = []
        for name in TABS:
            go_to(tab, name)
            for scheme in SCHEMES:
                tab.emulate_media(color_scheme=scheme)
                settled(tab)  # tabs fade in, and a colour on its way has no contrast
                found += [(name, scheme, fault) for fault in serious_faults(tab)]
        assert found == []


def go_to(tab: Any, name: str) -> None:
    """At a small width some tabs are behind a button with dots."""
    one = tab.get_by_role("tab", name=name, exact=True)
    if not one.first.is_visible():
        tab.click(".overflow-menu > button")
        tab.click(f".overflow-dropdown >> text={name}")
        return
    one.first.click()


@pytest.mark.model
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_nothing_moves_for_who_wants_less_motion(
    chromium: Any, served: Served, motion: str
) -> None:
    with watched(chromium, served, reduced_motion=motion) as tab:
        generate(tab, f"a pink heart spins {motion}")
        tab.wait_for_selector(f"#stage .caption >> text=spins {motion}")
        tab.wait_for_function(PLAYS % "v.readyState >= 4")
        settled(tab)  # a clip that plays by itself does by then
        assert tab.evaluate(PLAYS % "v.paused") is (motion == "reduce")


@pytest.mark.model
@pytest.mark.parametrize("width", [1366, 390])
def test_pictures_of_the_page(chromium: Any, served: Served, width: int, tmp_path: Path) -> None:
    """Nothing to be compared: they are there to be looked at, and the README shows one."""
    size = {"width": width, "height": 768 if width > 400 else 844}
    with watched(chromium, served, viewport=size) as tab:
        generate(tab, "a red ball rolls left over green grass")
        tab.wait_for_selector("#stage .caption >> text=red ball rolls")
        tab.wait_for_function(PLAYS % "v.currentTime > 0.4")
        tab.wait_for_function(f"{CARD}?.innerText.includes('MB')")
        for scheme in SCHEMES:
            tab.emulate_media(color_scheme=scheme)
            settled(tab)
            file = Path(KEPT or tmp_path) / f"page-{width}-{scheme}.png"
            tab.screenshot(path=file)
            assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
            assert tab.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
