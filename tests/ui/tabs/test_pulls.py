"""A download in the page's head, on every tab, and the word of its end."""

import time
from typing import Any

import pytest

from engine.engine import Engine
from engine.presets import Presets
from engine.text import Language
from engine.weights.progress import DownloadProgress
from tests.conftest import wait_until
from tests.support.hub import Hub
from ui.tabs.pulls import came_state, head_state, pulls_state, short_name
from ui.wording import spoken

BIG, INT8 = "wan2.1-t2v-14b-fp8", "wan2.1-t2v-14b-int8"
RUNNING = DownloadProgress("fetching", done=42, total=100, rate=1.0, left=420.0)


def head(presets: Presets, running: dict[str, DownloadProgress], language: Language = "en") -> Any:
    return spoken(head_state(presets.models, running), language)


def test_the_head_has_the_percent_and_the_time_left(presets: Presets) -> None:
    assert head(presets, {BIG: RUNNING}) == {
        "text": "Wan2.1 14B: 42 %, 7 min left",
        "fraction": 0.42,
    }
    assert head(presets, {BIG: RUNNING}, "zh") == {
        "text": "Wan2.1 14B：42%，还需 7 分钟",
        "fraction": 0.42,
    }


def test_no_time_is_said_before_a_rate_is_known(presets: Presets) -> None:
    begun = DownloadProgress("fetching", done=1, total=100)
    assert head(presets, {BIG: begun}) == {"text": "Wan2.1 14B: 1 %", "fraction": 0.01}
    asking = head(presets, {BIG: DownloadProgress("asking")})
    assert asking == {"text": "Wan2.1 14B: starting", "fraction": 0.0}


def test_two_downloads_are_counted(presets: Presets) -> None:
    both = head(presets, {BIG: RUNNING, INT8: RUNNING})
    assert both == {"text": "Wan2.1 14B: 42 %, 7 min left (and 1 more)", "fraction": 0.42}


def test_the_head_says_nothing_of_a_verification(presets: Presets) -> None:
    checking = DownloadProgress("checking", "verify", done=1, total=2)
    assert head_state(presets.models, {BIG: checking}) == ""
    assert head_state(presets.models, {}) == ""


def test_only_a_download_that_ended_well_has_come(presets: Presets) -> None:
    def came(progress: DownloadProgress) -> object:
        return came_state(presets.models, {BIG: progress})

    assert came(DownloadProgress("done")) == "", "nothing was ever fetched"
    assert came(DownloadProgress("failed", at=5.0)) == ""
    assert came(DownloadProgress("done", "verify", at=5.0)) == ""
    assert came(RUNNING) == ""


def test_the_newest_one_is_told(presets: Presets) -> None:
    ended = {BIG: DownloadProgress("done", at=5.0), INT8: DownloadProgress("done", at=6.0)}
    found = came_state(presets.models, ended)
    assert isinstance(found, dict)
    assert (found["model"], found["at"]) == (INT8, 6.0)


def test_a_short_name_has_no_precision(presets: Presets) -> None:
    assert short_name(presets.models[BIG]) == "Wan2.1 14B"
    assert short_name(presets.models["wan-tiny"]) == "Wan tiny"


@pytest.mark.starts
def test_the_stream_tells_a_download_from_its_begin_to_its_end(hub: Hub, engine: Engine) -> None:
    before = pulls_state(engine.downloads)
    assert (before["pull-head"], before["came"]) == ("", "")
    hub.fault("models_t5", pace=400_000)
    engine.downloads.start("fetched")
    wait_until(lambda: pulls_state(engine.downloads)["pull-head"], "the head")
    began = time.time()
    hub.heal()
    wait_until(lambda: pulls_state(engine.downloads)["came"], "the end")
    after = spoken(pulls_state(engine.downloads), "en")
    assert after["pull-head"] == ""
    assert after["came"]["text"] == "Fetched is ready."
    assert after["came"]["at"] >= began
