"""Two unlike cards on the page, in a real Chromium: the driver is a stand-in, all else is real."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.home import PROJECT
from tests.support.browser import MARKS, open_page
from tests.support.nvml.standin import ScriptedGpu, Standin, build
from tests.support.on_a_gpu import presets_in
from tests.support.served import LAZY, Served, serve

pytestmark = MARKS
SMALL = "GPU-4060f11e-0000-4000-8000-000000000000"
LARGE = "GPU-4090f11e-0000-4000-8000-000000000000"
SLOW_ANSWERS = """() => {
  const quickly = window.fetch;
  window.asking = 0;
  window.fetch = async (...asked) => {
    window.asking += 1;
    const answer = await quickly(...asked);
    await new Promise((done) => setTimeout(done, 1000));
    setTimeout(() => (window.asking -= 1), 500);
    return answer;
  };
}"""
SLOW = "steps=400 step_seconds=0.1"


def cards(machine: Standin, small: int = 400, large: int = 400) -> None:
    """Have so many MiB in use on each."""
    machine.write(
        gpus=[
            ScriptedGpu("NVIDIA GeForce RTX 4060 Ti", SMALL, 16_380, small),
            ScriptedGpu("NVIDIA GeForce RTX 4090", LARGE, 24_564, large),
        ]
    )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Standin:
    folder = tmp_path_factory.mktemp("machine")
    build(folder)
    presets_in(folder)
    made = Standin(folder)
    cards(made)
    return made


@pytest.fixture(scope="module")
def environment(machine: Standin, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("two cards") / "home"
    presets = Path(machine.environment()["NVML_STANDIN"]).parent / "presets"
    return machine.environment(HEADROOM_HOME=str(home), HEADROOM_PRESETS=str(presets))


@pytest.fixture(scope="module")
def served(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("log") / "serve.log"
    running = serve(log, environment=environment, program=LAZY)
    yield running
    running.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def same_page(chromium: Any, served: Served) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1920, "height": 1080})
    open_page(page, served)
    page.click("#model input")
    page.click("[role=option] >> text=On a GPU")
    yield page
    page.close()


@pytest.fixture
def tab(same_page: Any, machine: Standin) -> Any:
    """With room on both cards, and nothing open."""
    cards(machine)
    same_page.click("button[role=tab] >> text=Create")
    same_page.evaluate("document.querySelectorAll('.gauge details').forEach(d => d.open = false)")
    same_page.wait_for_selector("#truth .truth:not(.busy)")
    return same_page


def ask(tab: Any, prompt: str) -> None:
    tab.fill("#prompt textarea", prompt)
    tab.click("#generate")


def told(environment: dict[str, str], *arguments: str) -> Any:
    """What the command line says as JSON."""
    command = [sys.executable, str(PROJECT / "app.py"), *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_clips_are_made_at_once_and_each_can_be_seen_and_cancelled(tab: Any) -> None:
    for word in ("alpha", "beta"):
        ask(tab, f"{word} {SLOW}")
        tab.wait_for_selector(f"#strip [data-queue=running] li >> text={word}")
    tiles = tab.locator("#strip [data-queue=running] li")
    assert tiles.count() == 2
    names = {tiles.nth(n).locator("button").get_attribute("title") for n in range(2)}
    assert names == {"GPU 0 (RTX 4060 Ti)", "GPU 1 (RTX 4090)"}
    assert tab.inner_text("[data-live=title]").startswith("alpha")
    tiles.nth(1).locator("button").click()
    tab.wait_for_selector("[data-live=title] >> text=beta")
    tab.wait_for_selector(".stage [data-live=lane] >> text=GPU 0 (RTX 4060 Ti)")
    tab.click("#cancel")
    tab.wait_for_selector("#strip [data-queue=ended] li >> text=beta")
    tab.wait_for_selector("[data-live=title] >> text=alpha")
    assert tiles.count() == 1
    tab.click("#cancel")
    tab.wait_for_selector("#strip [data-queue=ended] li >> text=alpha")


def test_the_gauge_lists_both_cards(tab: Any) -> None:
    tab.click(".gauge summary")
    listed = tab.locator(".cards li")
    listed.nth(1).wait_for()
    assert listed.nth(0).inner_text().startswith("GPU 1 (RTX 4090)")
    assert "0.4 GB of 24.0 GB" in listed.nth(0).inner_text().replace("400 MB", "0.4 GB")
    assert listed.nth(1).inner_text().startswith("GPU 0 (RTX 4060 Ti)")


def test_a_card_that_is_full_leaves_the_other(tab: Any, machine: Standin) -> None:
    cards(machine, large=24_000)
    tab.wait_for_selector("#truth .truth >> text=RTX 4060 Ti", state="attached")
    assert tab.inner_text("#generate").startswith("Generate")
    cards(machine, small=16_000, large=24_000)
    tab.wait_for_selector("#truth .busy")
    assert tab.inner_text("#generate").startswith("Queue it")


def test_what_only_one_card_can_make_waits_for_it_and_says_so(tab: Any, machine: Standin) -> None:
    cards(machine, small=16_000)
    for word in ("one", "two", "three"):
        ask(tab, f"{word} {SLOW}")
        tab.wait_for_selector(f"#strip .title >> text={word} s")
    tab.wait_for_selector("#strip [data-queue=waiting] li >> text=three s")
    tab.wait_for_selector(
        "#strip [data-queue=waiting] >> text=Waits for GPU 1 (RTX 4090), the only one"
    )
    assert tab.locator("#strip [data-queue=running] li").count() == 1
    tab.click("#strip [data-do=cancel_waiting]")
    tab.click("#cancel")
    tab.wait_for_selector("#strip [data-queue=running]", state="hidden")


def test_each_card_is_tested_by_itself(tab: Any) -> None:
    tab.click("button[role=tab] >> text=Memory")
    choose(tab, "GPU 0 (RTX 4060 Ti)")
    tab.click("#measure")
    tab.wait_for_selector("#measure-told p")
    tab.wait_for_selector("#picture td.measured")
    choose(tab, "GPU 1 (RTX 4090)")
    tab.wait_for_selector("#picture td.measured", state="detached")
    tab.wait_for_selector("#plan td >> text=GPU 1")
    # Chosen while another choice is answered: that answer isn't the last.
    choose(tab, "GPU 0 (RTX 4060 Ti)")
    tab.wait_for_selector("#picture td.measured")
    tab.evaluate(SLOW_ANSWERS)
    choose(tab, "GPU 1 (RTX 4090)")
    choose(tab, "GPU 0 (RTX 4060 Ti)")
    tab.wait_for_function("window.asking === 0")
    assert tab.locator("#picture td.measured").count()
    assert tab.locator("#plan td >> text=GPU 0").count()


def choose(tab: Any, card: str) -> None:
    tab.click("#measure-card input")
    tab.click(f"[role=option] >> text={card}")


def test_the_command_line_lists_them_and_takes_one(environment: dict[str, str]) -> None:
    rows = told(environment, "lanes")["lanes"]
    assert [(row["name"], row["device"]) for row in rows] == [
        ("gpu1", "NVIDIA GeForce RTX 4090"),
        ("gpu0", "NVIDIA GeForce RTX 4060 Ti"),
    ]
    assert rows[0]["models"].keys() >= {"wan-tiny", "on-a-gpu"}
    assert "wan-tiny" not in rows[1]["models"], "the processor is the first lane's"
    size = "--model on-a-gpu --height 128 --width 128 --frames 17".split()
    verdict = told(environment, "check", *size, "--lane", "gpu0")
    assert verdict["verdict"] == "open"
    assert verdict["budget_bytes"] < 16_380 * 2**20
