"""The first run on a scripted card in a real Chromium: one button, its progress, and the hand-over
of the model that has come."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import MARKS, serious_faults, settled, watched
from tests.support.hub import Hub
from tests.support.models import FETCHED_ID as MODEL
from tests.support.models import fetched_for_gpu
from tests.support.nvml.standin import ScriptedGpu, Standin, build
from tests.support.served import LAZY, Served, serve

pytestmark = MARKS
# HEADROOM_SCREENSHOTS=FOLDER keeps the pictures, to be looked at.
KEPT = os.environ.get("HEADROOM_SCREENSHOTS")
NOTIFIED = """() => {
window.told = [];
window.Notification = class {
  static permission = "granted";
  constructor(title) { window.told.push(title); }
};
}"""


@pytest.fixture
def served(hub: Hub, tmp_path: Path) -> Iterator[Served]:
    """A page on a machine with an RTX 4060 Ti, whose best model is the hub's."""
    build(tmp_path)
    machine, presets = Standin(tmp_path), tmp_path / "presets"
    machine.write(gpus=[ScriptedGpu()])
    presets.mkdir()
    fetched_for_gpu(presets)
    environment = machine.environment(
        HEADROOM_HOME=str(tmp_path / "home"), HEADROOM_PRESETS=str(presets), HF_ENDPOINT=hub.url
    )
    running = serve(tmp_path / "serve.log", environment=environment, program=LAZY)
    yield running
    running.end(signal.SIGTERM)


@pytest.fixture
def tab(chromium: Any, served: Served) -> Iterator[Any]:
    with watched(chromium, served) as opened:
        yield opened


def test_the_model_for_the_card_is_fetched_and_handed_over(
    tab: Any, hub: Hub, served: Served
) -> None:
    hub.fault("models_t5", pace=400_000)
    tab.wait_for_selector("#first-run >> text=Your RTX 4060 Ti makes 48 × 32, 0.6 s with Large.")
    tab.wait_for_selector("#first-run >> text=8.0 MB to download.")
    assert "min" not in tab.inner_text("#first-run"), "no time is invented before it is measured"
    assert tab.input_value("#model input") != "Large (FP8)"
    tab.evaluate(NOTIFIED)
    tab.evaluate("document.hasFocus = () => false")

    tab.focus("#first-run-act")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#first-run-act >> text=Pause")
    assert tab.evaluate("document.activeElement.id") == "first-run-act", "the focus stays"
    tab.wait_for_selector("#first-run .told >> text=MB/s")
    head = served.state("pull-head")
    assert isinstance(head, dict)
    assert str(head["text"]).startswith("Large: ")
    tab.wait_for_function("document.querySelector('#first-run .progress').ariaValueNow > 2")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#first-run >> text=Paused at")
    hub.heal()
    tab.click("#first-run-act >> text=Resume")

    tab.wait_for_selector("#first-run >> text=Large is ready. Your next clip is made with it.")
    tab.wait_for_function("document.querySelector('#model input').value === 'Large (FP8)'")
    tab.wait_for_selector("#size >> text=48 × 32")
    assert tab.is_hidden("#first-run-act")
    tab.wait_for_function("window.told.length > 0")
    assert tab.evaluate("window.told") == ["Large is ready."]

    tab.click("#model input")
    tab.click("[role=option] >> text=Wan tiny")
    tab.get_by_role("tab", name="Models").click()
    tab.click(f"#verify-{MODEL}")
    tab.wait_for_selector(f"#card-{MODEL} >> text=Verified: all files are intact.")
    settled(tab)
    assert tab.input_value("#model input") == "Wan tiny", "handed over once"


def test_the_models_tab_recommends_one_and_folds_what_cant_run(tab: Any) -> None:
    tab.get_by_role("tab", name="Models").click()
    tab.wait_for_selector(f"#card-{MODEL} >> text=The best match for your RTX 4060 Ti.")
    cards = tab.locator("#setup-tab .model-card:visible")
    assert "Recommended" in cards.first.inner_text()
    assert tab.locator("#setup-tab .badge:visible").count() == 1
    summary = tab.locator("#cant-run summary")
    assert "Can't run on this machine" in summary.inner_text()
    summary.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#cant-run details[open] >> text=Wan2.1 14B (BF16)")
    assert tab.locator("#cant-run button").count() == 0
    assert tab.is_hidden("#fetch-wan2-1-t2v-14b-bf16")
    tab.wait_for_selector("#machine .mark")
    assert "BF16" not in tab.inner_text("#machine")
    ticked = tab.locator("#machine tr:has([aria-label=OK])").all_inner_texts()
    assert ticked
    assert not [line for line in ticked if "isn't installed" in line or "Not installed" in line]


def test_the_tabs_can_be_seen_by_everybody(chromium: Any, served: Served, hub: Hub) -> None:
    hub.fault("models_t5", pace=100_000)
    with watched(chromium, served, reduced_motion="reduce") as tab:
        tab.click("#first-run-act")
        tab.wait_for_selector("#first-run .told >> text=MB/s")
        look_at(tab, "first")
        for name, ready in (("Models", "#machine .mark"), ("Memory", "#picture td")):
            tab.get_by_role("tab", name=name, exact=True).first.click()
            tab.wait_for_selector(ready)
            look_at(tab, name.lower())
        # Where there is no room for all of them, the rest is behind a button with dots.
        tab.set_viewport_size({"width": 390, "height": 844})
        tab.click(".overflow-menu > button")
        tab.click(".overflow-dropdown >> text=Models")
        tab.wait_for_selector("#machine .mark", state="visible")


def look_at(tab: Any, what: str) -> None:
    """Hold the page against what everybody needs of it, and keep pictures for who wants them."""
    for width, height in ((390, 844), (1920, 1080), (1366, 768)):
        tab.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            settled(tab)
            if KEPT:
                file = Path(KEPT) / f"{what}-{width}-{scheme}.png"
                tab.screenshot(path=file, full_page=True)
            assert serious_faults(tab) == [], (what, width, scheme)
            sideways = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert sideways <= 0, (what, width)
            gauge = tab.locator("#gauge").bounding_box()
            assert gauge["x"] + gauge["width"] <= width, (
                "beside what the download tells in the head"
            )
            assert gauge["y"] >= 0
