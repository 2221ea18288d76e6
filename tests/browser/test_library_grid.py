"""The library's days, its keys, and clips that play under the mouse, in a real Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import MARKS
from tests.support.library_page import (
    CARDS,
    as_it_was,
    card,
    choose,
    of_some_days,
    opened,
    selected,
)
from tests.support.served import Served

pytestmark = MARKS
FOCUSED = "document.activeElement.getAttribute('aria-label')"
COLUMNS = "getComputedStyle(document.querySelector('.lib-row')).getPropertyValue('--columns')"
PLAYING = "document.querySelectorAll('.lib-picture video.seen').length"


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


# ---- days and rows ---------------------------------------------------------------------------


def test_days_are_headings(library: Any) -> None:
    assert library.locator("#library h3").all_inner_texts() == [
        "Today",
        "Yesterday",
        "Tuesday, November 14",
        "Wednesday, October 12, 2022",
    ]
    assert [
        library.locator(f"#library .lib-day >> nth={day} >> .lib-prompt").first.inner_text()
        for day in range(4)
    ] == [
        "0 a",
        "1 a",
        "2 a",
        "400 a",
    ]
    grid = library.get_by_role("grid", name="Tuesday, November 14")
    assert grid.get_by_role("row").count() == 2
    assert grid.get_by_role("gridcell").count() == 8


def test_days_are_told_in_the_pages_language(chromium: Any, served: Served) -> None:
    with opened(chromium, served, locale="zh-CN") as tab:
        assert tab.locator("#library h3").all_inner_texts() == [
            "今天",
            "昨天",
            "11月14日星期二",
            "2022年10月12日星期三",
        ]


@pytest.mark.parametrize(("width", "columns"), [(390, 2), (768, 3), (1366, 5), (2560, 5)])
def test_cards_of_a_row_have_one_height_and_fill_it(
    chromium: Any, served: Served, width: int, columns: int
) -> None:
    size = {"width": width, "height": 844}
    with opened(chromium, served, viewport=size) as tab:
        boxes = [
            one.bounding_box()
            for one in tab.locator("#library .lib-day >> nth=2 >> .lib-card").all()
        ]
        row = [box for box in boxes if box["y"] == boxes[0]["y"]]
        assert len(row) >= columns
        assert len({round(box["height"]) for box in boxes}) == 1
        room = tab.locator("#library .lib-pages").bounding_box()
        across = int(tab.evaluate(COLUMNS))  # a day may have fewer
        pitch = row[1]["x"] - row[0]["x"]
        end = row[0]["x"] + pitch * (across - 1) + row[0]["width"]
        assert end == pytest.approx(room["x"] + room["width"], abs=1)
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_another_width_gives_other_rows_and_keeps_what_is_selected(library: Any) -> None:
    choose(library, "2 b")
    library.locator(CARDS).nth(5).locator(".lib-picture").focus()
    library.set_viewport_size({"width": 390, "height": 844})
    library.wait_for_function(
        "document.querySelectorAll('#library .lib-row')[0].children.length === 2"
    )
    assert library.evaluate(FOCUSED) == "Open: 2 a"
    assert selected(library) == ["2 b"]


# ---- keys ------------------------------------------------------------------------------------


def test_arrows_go_from_card_to_card(library: Any) -> None:
    library.locator(CARDS).first.locator(".lib-picture").focus()
    for key, prompt in (
        ("ArrowRight", "0 b"),
        ("End", "0 c"),
        ("ArrowRight", "1 a"),
        ("ArrowLeft", "0 c"),
        ("ArrowDown", "1 b"),
        ("ArrowDown", "2 b"),
        ("ArrowDown", "2 g"),
        ("ArrowDown", "400 a"),
        ("ArrowDown", "400 a"),
        ("ArrowUp", "2 f"),
        ("End", "2 h"),
        ("Home", "2 f"),
        ("Control+Home", "0 a"),
        ("ArrowUp", "0 a"),
        ("Control+End", "400 a"),
    ):
        library.keyboard.press(key)
        assert library.evaluate(FOCUSED) == f"Open: {prompt}", key
    library.keyboard.press("Enter")
    library.wait_for_selector("dialog video")
    library.keyboard.press("Escape")
    library.wait_for_selector("dialog", state="detached")


def test_tab_goes_through_one_card_and_out(library: Any) -> None:
    reachable = "[...document.querySelectorAll('.lib-card [tabindex=\"0\"]')]"
    assert library.evaluate(f"{reachable}.length") == 4
    library.locator(CARDS).first.locator(".lib-picture").focus()
    library.keyboard.press("ArrowDown")
    for name in ("Open: 1 a", "Select: 1 a", "Favourite: 1 a", "Delete: 1 a"):
        assert library.evaluate(FOCUSED) == name
        library.keyboard.press("Tab")
    assert library.evaluate("document.activeElement.closest('.lib-card')") is None
    library.keyboard.press("Shift+Tab")
    assert library.evaluate(FOCUSED) == "Delete: 1 a"


# ---- playing under the mouse -------------------------------------------------------------------


def test_a_clip_plays_while_the_mouse_rests_on_it(library: Any) -> None:
    fetched: list[str] = []
    library.on(
        "request",
        lambda request: fetched.append(request.url) if "/clip/" in request.url else None,
    )
    card(library, "2 a").locator(".lib-picture").hover()  # the stage may hold the newest
    library.wait_for_function(f"{PLAYING} === 1")
    video = library.locator(".lib-picture video")
    assert video.evaluate("v => v.muted && v.loop && !v.paused")
    only = {url.partition("?")[0] for url in fetched}
    card(library, "1 a").locator(".lib-picture").hover()
    library.wait_for_selector(f"{CARDS}:has-text('1 a') video.seen")
    assert library.locator(".lib-picture video").count() == 1, "one plays at a time"
    assert len(only) == 1, "nothing else was fetched before"
    library.mouse.move(1, 1)
    library.wait_for_selector(".lib-picture video", state="detached")


def test_a_clip_plays_for_the_keyboard_too(chromium: Any, served: Served) -> None:
    with opened(chromium, served) as tab:
        tab.locator("#library [name=trash]").focus()
        tab.keyboard.press("Tab")
        tab.wait_for_selector(f"{CARDS} >> nth=0 >> video.seen")
        tab.keyboard.press("ArrowRight")
        tab.wait_for_selector(f"{CARDS} >> nth=1 >> video.seen")
        assert tab.locator(".lib-picture video").count() == 1
        tab.keyboard.press("Enter")
        tab.wait_for_selector("dialog video")
        assert tab.locator(".lib-picture video").count() == 0


@pytest.mark.parametrize(("motion", "count"), [("reduce", 0), ("no-preference", 1)])
def test_nothing_plays_for_whoever_wants_less_motion(
    chromium: Any, served: Served, motion: str, count: int
) -> None:
    with opened(chromium, served, reduced_motion=motion) as tab:
        tab.clock.install()
        tab.locator(CARDS).first.locator(".lib-picture").hover()
        tab.clock.fast_forward(2000)
        assert tab.locator(".lib-picture video").count() == count
