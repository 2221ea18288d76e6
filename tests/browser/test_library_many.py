"""Several clips in a real Chromium: select, delete and undo, ZIP, and two of them with a wipe."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import MARKS, serious_faults, settled
from tests.support.library_page import (
    CARDS,
    as_it_was,
    bar,
    card,
    choose,
    of_some_days,
    opened,
    selected,
    wait_for_cards,
)
from tests.support.served import Served

pytestmark = MARKS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with of_some_days(tmp_path_factory.mktemp("days")) as running:
        yield running


@pytest.fixture(scope="module")
def same_page(chromium: Any, served: Served) -> Iterator[Any]:
    with opened(chromium, served) as tab:
        yield tab


@pytest.fixture
def library(same_page: Any) -> Iterator[Any]:
    yield same_page
    as_it_was(same_page)


# ---- selecting -------------------------------------------------------------------------------


def test_a_box_shows_once_it_is_of_use(library: Any) -> None:
    box = card(library, "2 a").locator(".lib-select")
    other = card(library, "2 b").locator(".lib-select")
    seen = "box => getComputedStyle(box).opacity"
    library.mouse.move(1, 1)
    assert box.evaluate(seen) == "0"
    card(library, "2 a").hover()
    assert box.evaluate(seen) == "1"
    assert other.evaluate(seen) == "0"
    box.check()
    assert other.evaluate(seen) == "1", "anything is selected"


def test_shift_control_and_escape(library: Any) -> None:
    choose(library, "1 a")
    assert bar(library).inner_text().startswith("1 selected")
    card(library, "2 b").locator(".lib-select").click(modifiers=["Shift"])
    assert selected(library) == ["1 a", "1 b", "2 a", "2 b"]
    card(library, "2 d").locator(".lib-picture").click(modifiers=["Control"])
    assert selected(library) == ["1 a", "1 b", "2 a", "2 b", "2 d"]
    assert bar(library).inner_text().startswith("5 selected")
    library.uncheck("#library [aria-label='Select: 2 b']")
    assert selected(library) == ["1 a", "1 b", "2 a", "2 d"]
    library.keyboard.press("Escape")
    assert selected(library) == []
    assert bar(library).is_hidden()
    card(library, "0 a").locator(".lib-picture").focus()
    library.keyboard.press("Shift+ArrowRight")
    library.keyboard.press("Shift+ArrowDown")
    assert selected(library) == ["0 a", "0 b", "0 c", "1 a", "1 b"]
    library.keyboard.press("Control+a")
    assert bar(library).inner_text().startswith("14 selected")
    library.click("#library .lib-choice >> text=Clear")
    assert selected(library) == []
    assert library.evaluate("document.activeElement.className") == "lib-picture"


def test_all_is_what_is_shown_and_words_are_still_selected_as_words(library: Any) -> None:
    library.fill("#library [name=words]", "2")
    wait_for_cards(library, 8)
    library.keyboard.press("Control+a")
    assert selected(library) == []
    library.keyboard.press("Tab")
    library.locator(CARDS).first.locator(".lib-picture").focus()
    library.keyboard.press("Control+a")
    assert len(selected(library)) == 8
    library.fill("#library [name=words]", "")
    wait_for_cards(library, 14)
    assert selected(library) == [], "nothing stays selected that one doesn't see"


def test_several_are_deleted_and_undone(library: Any) -> None:
    choose(library, "0 b", "1 a", "400 a")
    bar(library).get_by_role("button", name="Delete").click()
    library.wait_for_selector("#library .lib-told >> text=3 clips deleted.")
    wait_for_cards(library, 11)
    assert library.inner_text("#library .lib-count") == "11 clips"
    assert library.locator("#library h3").count() == 3, "a day without clips has no heading"
    assert library.evaluate("document.activeElement.textContent") == "Undo"
    library.keyboard.press("Enter")
    wait_for_cards(library, 14)
    library.wait_for_selector("#library .lib-told >> text=Restored.")


def test_several_are_restored_from_the_trash(library: Any) -> None:
    choose(library, "0 b", "1 a")
    bar(library).get_by_role("button", name="Delete").click()
    wait_for_cards(library, 12)
    library.check("#library [name=trash]")
    wait_for_cards(library, 2)
    choose(library, "0 b", "1 a")
    shown = bar(library).locator("button:visible").all_inner_texts()
    assert shown == ["Compare", "Download ZIP", "Restore", "Clear"]
    bar(library).get_by_role("button", name="Restore").click()
    library.wait_for_selector("text=The trash is empty.")
    library.wait_for_selector("#library .lib-told >> text=2 clips restored to the library.")
    library.uncheck("#library [name=trash]")
    wait_for_cards(library, 14)


def test_several_are_favourites_and_no_longer(library: Any) -> None:
    choose(library, "0 a", "2 c")
    bar(library).get_by_role("button", name="Favourite").click()
    library.wait_for_function(
        "document.querySelectorAll('#library .lib-icon[aria-pressed=true]').length === 2"
    )
    library.check("#library [name=favourites]")
    wait_for_cards(library, 2)
    choose(library, "0 a", "2 c")
    bar(library).get_by_role("button", name="Remove from favourites").click()
    library.wait_for_selector("#library .lib-icon[aria-pressed=true]", state="detached")
    library.uncheck("#library [name=favourites]")
    wait_for_cards(library, 14)


def test_what_cant_be_deleted_is_named_and_stays_selected(library: Any) -> None:
    answer = {"done": [], "failed": [{"id": 1, "why": "It is in use."}]}
    library.route("**/library/trash", lambda route: route.fulfill(json=answer))
    choose(library, "0 b", "1 a")
    bar(library).get_by_role("button", name="Delete").click()
    library.wait_for_selector("#library .lib-told >> text=1 not changed: It is in use.")
    assert selected(library) == ["0 b", "1 a"]
    library.click("#library .lib-told [aria-label=Close]")
    library.wait_for_selector("#library .lib-told", state="hidden")
    library.unroute("**/library/trash")


def test_a_zip_of_those_that_are_selected(library: Any, served: Served) -> None:
    clips = served.log_file.parent / "home" / "clips"
    choose(library, "0 a", "2 h")
    with library.expect_download() as download:
        bar(library).get_by_role("button", name="Download ZIP").click()
    assert download.value.suggested_filename == "headroom-2.zip"
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as made:
        assert made.testzip() is None
        assert made.namelist() == ["0 a.mp4", "2 h.mp4"]
        assert made.read("2 h.mp4") == (clips / "2 h.mp4").read_bytes()
    assert selected(library) == ["0 a", "2 h"]


@pytest.mark.parametrize("width", [390, 1366])
def test_axe_finds_nothing_serious(chromium: Any, served: Served, width: int) -> None:
    with opened(chromium, served, viewport={"width": width, "height": 844}) as tab:
        choose(tab, "0 a", "1 a")
        found = serious(tab)
        bar(tab).get_by_role("button", name="Compare").click()
        tab.wait_for_selector("dialog .lib-differences td")
        tab.click("dialog >> text=Wipe")
        found += serious(tab)
        tab.keyboard.press("Escape")
        card(tab, "0 b").locator(".lib-picture").click()
        tab.click("dialog summary")
        tab.wait_for_selector("dialog .receipt td")
        assert found + serious(tab) == []


def serious(tab: Any) -> list[str]:
    """In both themes."""
    found = []
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        settled(tab)
        found += [f"{scheme}, {fault}" for fault in serious_faults(tab)]
    return found


# ---- the wipe ----------------------------------------------------------------------------------


@pytest.fixture
def wiped(chromium: Any, served: Served) -> Iterator[Any]:
    with opened(chromium, served) as tab:
        wipe(tab)
        yield tab


def wipe(library: Any) -> None:
    choose(library, "0 a", "1 a")
    bar(library).get_by_role("button", name="Compare").click()
    library.wait_for_selector("dialog .lib-differences td")
    library.click("dialog >> text=Wipe")
    films = "[...document.querySelectorAll('dialog video')]"
    library.wait_for_function(f"{films}.length === 2 && {films}.every(v => v.currentTime > 0.1)")


def clipped(tab: Any) -> Any:
    """How many per cent of B, from the left, A is seen instead of."""
    path = tab.locator("dialog video").nth(1).evaluate("v => getComputedStyle(v).clipPath")
    return float(path.partition("(")[2].rstrip(")").split()[-1].rstrip("%"))


def test_a_divider_wipes_between_two_clips(wiped: Any) -> None:
    one, other = (wiped.locator("dialog video").nth(n).bounding_box() for n in (0, 1))
    assert one == other, "they lie over each other"
    assert clipped(wiped) == 50
    line = wiped.locator("dialog .lib-line").bounding_box()
    assert line["x"] + line["width"] / 2 == pytest.approx(one["x"] + one["width"] / 2, abs=1.5)
    range = wiped.get_by_role("slider", name="Divider between A and B")
    range.focus()
    wiped.keyboard.press("ArrowRight")
    assert clipped(wiped) == 51
    wiped.keyboard.press("Home")
    assert clipped(wiped) == 0
    middle = one["y"] + one["height"] / 2
    wiped.mouse.move(one["x"] + one["width"] * 0.25, middle)
    wiped.mouse.down()
    assert clipped(wiped) == pytest.approx(25, abs=1)
    wiped.mouse.move(one["x"] + one["width"] * 0.75, middle)
    assert clipped(wiped) == pytest.approx(75, abs=1)
    wiped.mouse.up()
    wiped.mouse.move(one["x"], middle)
    assert clipped(wiped) == pytest.approx(75, abs=1), "it was let go"
    wiped.click("dialog >> text=Side by side")
    one, other = (wiped.locator("dialog video").nth(n).bounding_box() for n in (0, 1))
    assert one["x"] + one["width"] <= other["x"]
    assert wiped.locator("dialog .lib-divider").is_hidden()
    assert wiped.locator("dialog video").nth(1).evaluate("v => getComputedStyle(v).clipPath") == (
        "none"
    )


def test_frames_are_stepped_through_in_both(wiped: Any) -> None:
    """At 8 a second, as these clips have."""
    films = "[...document.querySelectorAll('dialog video')]"
    wiped.click("dialog >> text=Pause")
    wiped.wait_for_function(f"{films}.every(v => v.paused && !v.seeking)")
    place = wiped.get_by_role("slider", name="Position in both clips")
    place.focus()
    wiped.keyboard.press("Home")
    frame = "v => Math.floor(v.currentTime * 8 + 0.01)"
    still = f"n => {films}.every(v => !v.seeking && ({frame})(v) === n)"
    wiped.wait_for_function(still, arg=0)
    for key, at in ((".", 1), (".", 2), (",", 1)):
        wiped.keyboard.press(key)
        wiped.wait_for_function(still, arg=at)
    wiped.click("dialog [aria-label='Next frame']")
    wiped.wait_for_function(still, arg=2)
    wiped.click("dialog [aria-label='Previous frame']")
    wiped.wait_for_function(still, arg=1)
    assert wiped.evaluate(f"{films}.every(v => v.paused)")
