"""Where things are at the sizes that people have, in each state of the Create tab.

Pictures of all of it, to be looked at: HEADROOM_SCREENSHOTS=FOLDER, which also adds the dark theme
and Chinese.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import MARKS, choose_scripted, watched
from tests.support.pictures import KEPT, SIZES, keep
from tests.support.served import Served, serving

pytestmark = MARKS
LOOKS = [("light", "en-US"), ("dark", "en-US"), ("light", "zh-CN"), ("dark", "zh-CN")]
LONG = "steps=900 step_seconds=0.2 "
MEASURES = """
() => {
  const box = (selector) => {
    const at = document.querySelector(selector).getBoundingClientRect();
    return { x: at.x, y: at.y, width: at.width, height: at.height, bottom: at.bottom,
      right: at.right };
  };
  const tabs = [...document.querySelectorAll(".tab-container [role=tab]")]
    .filter((tab) => tab.offsetWidth);
  return {
    sideways: document.documentElement.scrollWidth - window.innerWidth,
    prompt: box("#prompt"), generate: box("#generate"), truth: box("#truth"),
    frame: box("#stage .frame"), form: box("#form > *"), strip: box("#strip .strip"),
    gauge: box("#gauge"), tabs: tabs.length, last: tabs.at(-1).getBoundingClientRect().right,
  };
}
"""
COLOUR = "getComputedStyle(document.querySelector('.over .line span')).color"
DRAWN = """
async () => { for (let n = 0; n < 4; n += 1) await new Promise(requestAnimationFrame); }
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("layout")) as running:
        yield running


def at_each_size(tab: Any, state: str, look: str, placed: bool = True) -> None:
    """Hold the state's places at every size, and keep its pictures."""
    tab.evaluate("window.scrollTo(0, 0)")
    for width, height in SIZES:
        tab.set_viewport_size({"width": width, "height": height})
        tab.evaluate(DRAWN)
        if placed:
            in_its_place(tab, width, height)
        keep(tab, state, look)


def in_its_place(tab: Any, width: int, height: int) -> None:
    at = tab.evaluate(MEASURES)
    assert at["sideways"] <= 0, "the page scrolls sideways"
    assert at["gauge"]["y"] >= 0
    assert at["gauge"]["bottom"] <= 48, "the memory is in the head"
    assert at["gauge"]["right"] <= width
    assert at["generate"]["bottom"] <= height, "the button needs scrolling"
    assert at["prompt"]["bottom"] <= at["truth"]["y"] < at["generate"]["y"]
    if width < 760:
        assert at["generate"]["bottom"] <= at["frame"]["y"], "prompt, button, stage"
        assert at["frame"]["bottom"] <= height, "the press is seen at once"
        return
    assert at["tabs"] == 5, "tabs that had no room come back"
    assert at["last"] < at["gauge"]["x"]
    assert at["frame"]["width"] * at["frame"]["height"] > 0.2 * width * height, "the stage leads"
    assert at["strip"]["y"] < height, "the queue is in sight"
    if width >= 1700:
        assert at["strip"]["x"] > at["frame"]["x"] + at["frame"]["width"], "a rail at its side"


@pytest.mark.parametrize(("scheme", "locale"), LOOKS if KEPT else LOOKS[:1])
def test_everything_has_its_place_in_every_state(
    chromium: Any, served: Served, scheme: str, locale: str
) -> None:
    with watched(chromium, served, color_scheme=scheme, locale=locale) as tab:
        look = f"{scheme}-{locale[:2]}"
        tab.wait_for_selector("#truth [data-step]")
        at_each_size(tab, "ready", look)
        tab.click("#size label:has-text('256 × 256')")
        tab.wait_for_selector("#truth .locked")
        at_each_size(tab, "locked", look)
        choose_scripted(tab)
        for name in ("runs", "waits first", "waits second", "waits third"):
            tab.fill("#prompt textarea", LONG + name)
            tab.click("#generate")
            tab.wait_for_selector(f"#stage .over >> text={name}") if name == "runs" else (
                tab.wait_for_selector(f"#strip [data-queue=waiting] >> text={name}")
            )
        tab.wait_for_function("document.querySelector('.preview').src.startsWith('data:')")
        at_each_size(tab, "running", look)
        assert tab.evaluate(COLOUR) == "rgb(255, 255, 255)", "on a dark shade in either theme"
        tab.set_viewport_size({"width": 390, "height": 844})
        ends = tab.locator("#strip [data-do=cancel_waiting]").bounding_box()
        assert ends["x"] + ends["width"] <= tab.locator("#pausing").bounding_box()["x"]
        tab.set_viewport_size({"width": 1366, "height": 768})
        tab.locator("#strip [data-do=edit]").first.click()
        tab.wait_for_selector("#save-job")
        at_each_size(tab, "editing", look, placed=False)
        tab.click("#leave-job")
        tab.click("#strip [data-do=cancel_waiting]")
        tab.evaluate("window.scrollTo(0, 0)")
        tab.click("#cancel")
        tab.wait_for_selector("[data-live=outcome][data-kind=plain]")
        tab.fill("#prompt textarea", "steps=1 a clip that is done")
        tab.click("#generate")
        tab.wait_for_selector("#stage .caption >> text=a clip that is done")
        at_each_size(tab, "done", look)
        tab.click("#strip [data-do=clear_ended]")
