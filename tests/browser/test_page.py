"""The way of a newcomer, in a real Chromium: type, watch, play, reload, cancel, be refused."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Gate, wait_until
from tests.support.browser import MARKS, choose_scripted, generate, open_page, settled
from tests.support.hub import Hub
from tests.support.served import Served, serve

pytestmark = MARKS


def text(tab: Any, name: str) -> str:
    return str(tab.inner_text(f"[data-live={name}]"))


PLAYS = "(() => { const v = document.querySelector('#clip video'); return v && %s })()"


@pytest.mark.model
def test_a_prompt_becomes_a_video_that_plays(page: Any, served: Served) -> None:
    page.click("#size label:has-text('64 × 64')")
    generate(page, "a red ball moves left over green grass")
    page.wait_for_function(PLAYS % "v.readyState >= 2 && v.currentTime > 0.2")
    assert page.evaluate(PLAYS % "[v.videoWidth, v.videoHeight]") == [64, 64]
    page.evaluate(PLAYS % "(v.loop = false, v.play())")
    page.wait_for_function(PLAYS % "v.ended")
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    page.click("#open-receipt")
    receipt = page.inner_text("#receipt")
    assert "a red ball moves left over green grass" in receipt
    assert "Plan: threads" in receipt
    assert page.locator("#strip .made img").count() == 1
    page.click("dialog >> [aria-label=Close]")
    page.click("#gauge summary")
    assert "this program" in text(page, "gauge-split")
    assert 0 < int(page.get_attribute("[data-live=meter]", "aria-valuenow")) <= 100
    assert "No NVIDIA GPU" in text(page, "gauge-problem")


@pytest.mark.model
def test_a_locked_size_is_measured_and_opens(page: Any, served: Served) -> None:
    page.click("#size label:has-text('224 × 128')")
    page.wait_for_selector("#truth >> text=Not tested yet")
    page.click("#generate >> text=Test this size")
    page.wait_for_selector(".live-panel.running")
    page.wait_for_selector("[data-live=title] >> text=Measuring 224 × 128, 1.1 s")
    page.wait_for_selector("#truth .open")
    assert "peak" in page.text_content("#truth details")
    page.wait_for_selector("#generate >> text=Generate")
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#picture td.measured")


@pytest.mark.model
def test_the_dice_rolls_and_a_typed_seed_is_kept(page: Any) -> None:
    """What the field shows is what a clip gets: nothing is drawn, a number stays."""
    assert page.input_value("#seed input") == ""
    page.click("#dice")
    page.wait_for_function("document.querySelector('#seed input').value !== ''")
    seed = page.input_value("#seed input")
    page.click("#size label:has-text('64 × 64')")
    generate(page, "a red ball with the number that is shown")
    page.wait_for_selector(f"#stage .facts >> text=seed {seed}")
    assert page.input_value("#seed input") == seed


# From here on the scripted model: a worker that has loaded another takes five seconds.


def test_a_model_chosen_while_the_page_loads_stays_chosen(chromium: Any, served: Served) -> None:
    context = chromium.new_context()
    tab, held, slow = context.new_page(), [], [True]
    tab.route("**/run/**", lambda route: held.append(route) if slow else route.continue_())
    open_page(tab, served)
    tab.click("#model input")
    tab.click("[role=option] >> text=Scripted")
    assert held, "the load's events have no answer yet"
    slow.clear()
    for route in held:
        route.continue_()
    tab.wait_for_selector("#size >> text=48 × 32")
    settled(tab)
    assert tab.input_value("#model input") == "Scripted"
    context.close()


def test_reloading_in_the_middle_shows_the_run_and_cancel_ends_it(
    page: Any, served: Served
) -> None:
    choose_scripted(page)
    generate(page, "steps=60 step_seconds=0.5")
    page.wait_for_function("document.querySelector('.preview')?.src.startsWith('data:')")
    assert re.match(r"Denoising, step \d+ of 60", text(page, "stage"))
    open_page(page, served)
    page.wait_for_selector(".live-panel.running")
    assert text(page, "title") == "steps=60 step_seconds=0.5"
    before = page.evaluate("document.querySelector('.progress').ariaValueNow")
    page.wait_for_function(
        "before => document.querySelector('.progress').ariaValueNow !== before", arg=before
    )
    page.click("#cancel")
    page.wait_for_selector(".live-panel:not(.running)")
    assert text(page, "outcome").startswith("Cancelled.")


def test_a_killed_engine_is_told_and_the_next_job_works(
    page: Any, served: Served, gate: Gate
) -> None:
    choose_scripted(page)
    generate(page, f"the one that is hit {gate}")
    page.wait_for_function("document.querySelector('.preview')?.src.startsWith('data:')")
    import psutil

    workers = [
        child
        for child in psutil.Process(served.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert len(workers) == 1
    os.kill(workers[0].pid, signal.SIGKILL)
    page.wait_for_function(
        "document.querySelector('[data-live=notice]').textContent.includes('killed by signal 9')"
    )
    gate.open()
    assert "being retried" in text(page, "notice")
    page.wait_for_selector("[data-live=outcome][data-kind=good]")
    clips = page.locator("#strip .made img").count()
    generate(page, "and on it goes")
    page.wait_for_function(
        "n => document.querySelectorAll('#strip .made img').length > n", arg=clips
    )


def test_a_choice_of_the_plan_is_made_refused_and_taken_back(page: Any) -> None:
    page.click("#model input")
    page.click("[role=option] >> text=Planned")
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#plan >> text=How Planned runs here")
    page.click("text=Choose otherwise")
    page.click("#plan-decode input")
    page.click("[role=option] >> text=tiled")
    page.click("#use-decode")
    page.wait_for_selector("#plan >> text=Your choice. Automatic would be whole")
    page.click("#plan-attention input")
    page.click("[role=option] >> text=sage_attn2 – can't work")
    page.click("#use-attention")
    page.wait_for_selector("#plan-told >> text=can't be")
    page.click("#auto-decode")
    page.wait_for_function(
        "!document.querySelector('#plan').textContent.includes('would be whole')"
    )


@pytest.mark.model
def test_weights_are_fetched_paused_resumed_and_verified_from_the_page(
    chromium: Any, hub: Hub, tmp_path: Path
) -> None:
    """Closing the page changes nothing, for the download belongs to the program, and clips of the
    CPU default can be made meanwhile."""
    hub.fault("models_t5", pace=150_000)  # slow enough for a busy machine
    served = serve(tmp_path / "serve.log")
    context = chromium.new_context(viewport={"width": 1366, "height": 768})
    try:
        tab = context.new_page()
        open_page(tab, served)
        tab.wait_for_selector("#first-run >> text=Wan tiny is a demo model.")
        tab.click("#to-setup")
        tab.wait_for_selector("#machine >> text=All match the tested versions")
        tab.wait_for_selector("#card-fetched >> text=missing 8.0 MB")
        tab.click("#fetch-fetched")
        tab.wait_for_selector("#card-fetched .told >> text=MB/s")
        tab.close()
        sent = hub.count
        wait_until(lambda: hub.count > sent + 300_000, "going on without a page")
        tab = context.new_page()
        open_page(tab, served)
        generate(tab, "a red ball moves left")
        tab.wait_for_selector("[data-live=outcome][data-kind=good]")
        tab.get_by_role("tab", name="Models").click()
        tab.wait_for_selector("#card-fetched .files >> text=models_t5_umt5-xxl-enc-fp8.pth")
        tab.wait_for_function("document.querySelector('#card-fetched .progress').ariaValueNow > 28")
        tab.click("#pause-fetched")
        tab.wait_for_selector("#fetch-fetched >> text=to go")
        assert re.search(r"partial \d+ %", tab.inner_text("#card-fetched"))
        hub.heal()
        tab.click("#fetch-fetched")
        tab.wait_for_selector("#card-fetched .state >> text=ready, 8.1 MB")
        tab.click("#verify-fetched")
        tab.wait_for_selector("#card-fetched >> text=Verified: all files are intact")
        assert tab.is_hidden("#fetch-fetched")
        tab.get_by_role("tab", name="Create").click()
        tab.wait_for_selector("#first-run", state="hidden")
    finally:
        context.close()
        served.end(signal.SIGTERM)


def test_refusals_and_failures_are_sentences(page: Any) -> None:
    generate(page, "   ")
    page.wait_for_selector("#error >> text=Write a prompt first")
    page.locator("#prompt textarea").press_sequentially("a")
    page.wait_for_selector("#error .refusal", state="detached")
    choose_scripted(page)
    generate(page, "fail=oom <img src=x onerror=document.title='hacked'>")
    page.wait_for_selector("[data-live=outcome] >> text=The script ran out of memory.")
    assert page.input_value("#prompt textarea").startswith("fail=oom"), "the prompt is kept"
    assert page.title() == "Headroom"


@pytest.mark.parametrize("width", [1366, 390])
def test_nothing_is_cut_off(chromium: Any, served: Served, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 768})
    tab = context.new_page()
    open_page(tab, served)
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        settled(tab)
        wait_until(lambda: tab.is_visible("#generate"), "the button")
        overflow = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"the page scrolls sideways, {scheme}"
        if width == 1366:
            box = tab.locator("#generate").bounding_box()
            assert box["y"] + box["height"] <= 768, f"making a clip needs scrolling, {scheme}"
    context.close()
