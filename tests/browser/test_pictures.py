"""Pictures of the page's states for somebody to look at: HEADROOM_SCREENSHOTS=FOLDER.

Every state is kept at the sizes that people have, light and dark, in English and Chinese. Where
things are in them is held by test_layout.py, which keeps the states of the Create tab.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.home import PROJECT
from engine.library.mp4 import write_clip
from tests.conftest import TESTS
from tests.support.browser import MARKS, choose_scripted, generate, shared, watched
from tests.support.clipfiles import receipt
from tests.support.hub import Hub
from tests.support.models import fetched_for_gpu, for_gpu
from tests.support.nvml.standin import Process, ScriptedGpu, Standin, build
from tests.support.pictures import KEPT, SIZES, keep
from tests.support.served import Served, serving, serving_as_it_comes

pytestmark = [*MARKS, pytest.mark.skipif(not KEPT, reason="HEADROOM_SCREENSHOTS=FOLDER")]

LOCALES = ["en-US", "zh-CN"]
CLIPS = 200
PROMPTS = (
    "a red ball bounces on the grass",
    "a blue cube turns in the snow, seen from above, while the sun goes down behind the hills",
    "a green star",
    "a yellow ball rolls over the sand",
)
Reach = Callable[[Any], None]


def keep_all(tab: Any, state: str, locale: str) -> None:
    for width, height in SIZES:
        tab.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            keep(tab, state, f"{scheme}-{locale[:2]}")
            assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width


def in_each_language(chromium: Any, served: Served, state: str, reach: Reach) -> None:
    """A fresh tab for each, which ``reach`` brings into ``state``."""
    for locale in LOCALES:
        with watched(chromium, served, locale=locale) as tab:
            reach(tab)
            keep_all(tab, state, locale)


def test_first_run_without_a_gpu(chromium: Any, tmp_path: Path) -> None:
    with serving_as_it_comes(tmp_path) as served:
        in_each_language(chromium, served, "first-run-cpu", judged)


def judged(tab: Any) -> None:
    tab.wait_for_selector("#truth [data-step]")


@contextmanager
def on_a_card(folder: Path, **variables: str) -> Iterator[tuple[Served, Standin]]:
    build(folder)
    machine, presets = Standin(folder), folder / "presets"
    machine.write(gpus=[ScriptedGpu()])
    presets.mkdir(exist_ok=True)
    own = machine.environment(
        HEADROOM_HOME=str(folder / "home"), HEADROOM_PRESETS=str(presets), **variables
    )
    with serving(folder, presets=presets, **own) as served:
        yield served, machine


def test_first_run_on_a_card_and_its_download(chromium: Any, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    fetched_for_gpu(tmp_path / "presets")
    with on_a_card(tmp_path, HF_ENDPOINT=hub.url) as (served, _):
        in_each_language(chromium, served, "first-run-gpu", offered)
        hub.fault("models_t5", pace=20_000)
        with watched(chromium, served) as tab:
            tab.click("#first-run-act")
            fetching(tab)
        in_each_language(chromium, served, "downloading", fetching)
        in_each_language(chromium, served, "downloading-models", fetching_in_models)


def offered(tab: Any) -> None:
    tab.wait_for_selector("#first-run-act", state="visible")


def fetching(tab: Any) -> None:
    tab.wait_for_selector("#first-run .told:not(:empty)", state="visible")


def fetching_in_models(tab: Any) -> None:
    fetching(tab)
    tab.get_by_role("tab").nth(2).click()
    tab.wait_for_selector("#machine .mark")


def test_memory_in_use(chromium: Any, tmp_path: Path) -> None:
    shutil.copytree(TESTS / "fixtures/presets", tmp_path / "presets")
    for_gpu(tmp_path / "presets", "fp8")
    with on_a_card(tmp_path) as (served, machine):
        in_each_language(chromium, served, "fits-gpu", judged)
        holder = Process(4321, "/usr/bin/a-game", 15_300)
        machine.write(gpus=[ScriptedGpu("RTX 4060 Ti", used_mib=15_900, processes=[holder])])
        in_each_language(chromium, served, "memory-in-use", in_use)


def in_use(tab: Any) -> None:
    tab.click("#model input")
    tab.click("[role=option] >> text=Large")
    tab.wait_for_selector("#truth .busy >> text=a-game")


@pytest.mark.parametrize("locale", LOCALES)
def test_out_of_memory(chromium: Any, tmp_path: Path, locale: str) -> None:
    with serving(tmp_path) as served, watched(chromium, served, locale=locale) as tab:
        ran_out(tab)
        keep_all(tab, "out-of-memory", locale)


def ran_out(tab: Any) -> None:
    choose_scripted(tab)
    generate(tab, "steps=2 fail=oom at=denoise:1")
    tab.wait_for_selector("[data-live=outcome][data-kind=bad]", state="attached")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A library of many clips, whose pictures the demo model made."""
    folder = tmp_path_factory.mktemp("library")
    stills = sorted((PROJECT / "ui/assets/stills").glob("*.jpg"))
    clips = folder / "home/clips"
    clips.mkdir(parents=True)
    for number in range(CLIPS):
        picture = np.asarray(Image.open(stills[number % len(stills)]).convert("RGB"))
        frames = np.stack([np.roll(picture, 2 * step, axis=1) for step in range(5)])
        height, width, _ = picture.shape
        kept = receipt(PROMPTS[number % len(PROMPTS)], number, height=height, width=width)
        path = clips / f"{number}.mp4"
        write_clip(path, frames, 8, partial(dict, kept))
        moment = path.stat().st_mtime - 7000 * number - 60
        os.utime(path, (moment, moment))
    with serving(folder) as running:
        yield running


def test_a_library_of_many_clips(chromium: Any, library: Served) -> None:
    in_each_language(chromium, library, "library", opened)
    in_each_language(chromium, library, "library-chosen", chosen)
    in_each_language(chromium, library, "library-clip", looked_at)
    in_each_language(chromium, library, "compare", compared)


def opened(tab: Any) -> None:
    tab.get_by_role("tab").nth(1).click()
    tab.wait_for_selector("#library .lib-card img")


def chosen(tab: Any) -> None:
    opened(tab)
    boxes = tab.locator("#library .lib-card [type=checkbox]")
    for number in range(2):
        boxes.nth(number).check()


def looked_at(tab: Any) -> None:
    opened(tab)
    tab.locator("#library .lib-card").first.click()
    tab.wait_for_selector("dialog[open] video")


def compared(tab: Any) -> None:
    chosen(tab)
    tab.locator("#library .lib-choice button:visible").first.click()
    tab.wait_for_selector("dialog[open] video")


def test_the_visitors_page(chromium: Any, served: Served) -> None:
    with watched(chromium, served) as owner:
        address, password = shared(owner)
        in_each_language(chromium, served, "share", sharing)
        for locale in LOCALES:
            context = chromium.new_context(locale=locale)
            guest = context.new_page()
            guest.goto(f"{address}#{password}")
            keep_all(guest, "visitor-enters", locale)
            guest.click("#enter button")
            guest.fill("#make textarea", "steps=2 a red ball bounces")
            guest.click("#make button")
            guest.wait_for_selector("#jobs video")
            keep_all(guest, "visitor", locale)
            context.close()


def sharing(tab: Any) -> None:
    tab.get_by_role("tab").nth(4).click()
    tab.wait_for_selector("#share-stop", state="visible")
