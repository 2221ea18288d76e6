"""A library of some days in a real Chromium, at a noon of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.browser import watched
from tests.support.clipfiles import receipt, write
from tests.support.served import Served, serving

NOON = datetime(2023, 11, 16, 12, tzinfo=UTC)
CARDS = "#library .lib-card"
# How many clips so many days before; all of them: COUNT.
DAYS = {"0": 3, "1": 2, "2": 8, "400": 1}
COUNT = sum(DAYS.values())


@contextmanager
def of_some_days(folder: Path) -> Iterator[Served]:
    """A page with clips that are named as their prompts are: "0 a" is the newest of noon."""
    clips = folder / "home" / "clips"
    clips.mkdir(parents=True)
    for day, count in DAYS.items():
        for number in range(count):
            prompt = f"{day} {'abcdefgh'[number]}"
            path = write(clips / f"{prompt}.mp4", receipt(prompt, height=16, width=16), frames=9)
            moment = (NOON - timedelta(days=int(day), minutes=number)).timestamp()
            os.utime(path, (moment, moment))
    with serving(folder) as running:
        yield running
    assert "Traceback" not in running.log(), running.log()


@contextmanager
def opened(chromium: Any, served: Served, **options: Any) -> Iterator[Any]:
    """The library's tab at that noon; ``options`` are those of the browser's context."""
    with watched(chromium, served, timezone_id="UTC", **options) as tab:
        tab.clock.set_fixed_time(NOON)
        tab.get_by_role("tab").nth(1).click()
        wait_for_cards(tab, COUNT)
        yield tab


def as_it_was(tab: Any) -> None:
    """For the next test on the same tab: nothing open, selected, sought or under the mouse."""
    tab.mouse.move(1, 1)
    tab.set_viewport_size({"width": 1366, "height": 768})
    for _ in range(2):  # what is open, then what is selected
        tab.keyboard.press("Escape")
    tab.wait_for_selector("dialog", state="detached")
    tab.uncheck("#library [name=trash]")
    tab.uncheck("#library [name=favourites]")
    tab.fill("#library [name=words]", "")
    tab.evaluate("document.activeElement.blur(), window.scrollTo(0, 0)")
    wait_for_cards(tab, COUNT)
    assert selected(tab) == []


def wait_for_cards(tab: Any, count: int) -> None:
    tab.wait_for_function(
        "([cards, n]) => document.querySelectorAll(cards).length === n", arg=[CARDS, count]
    )


def card(tab: Any, prompt: str) -> Any:
    return tab.locator(CARDS, has=tab.locator(f".lib-prompt:text-is('{prompt}')"))


def prompts(tab: Any, within: str = CARDS) -> list[str]:
    return list(tab.locator(f"{within} .lib-prompt").all_inner_texts())


def selected(tab: Any) -> list[str]:
    return prompts(tab, f"{CARDS}[aria-selected=true]")


def choose(tab: Any, *names: str) -> None:
    for prompt in names:
        tab.check(f"#library [aria-label='Select: {prompt}']")


def bar(tab: Any) -> Any:
    return tab.locator("#library .lib-choice")
