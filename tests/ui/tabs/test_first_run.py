"""What the first page says for the card found, and the hand-over once its model has come."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.guard.verdict import Word
from engine.home import Home
from engine.jobs import Jobs
from engine.machine.memory import MemorySample
from engine.presets import load_presets
from engine.text import plain
from engine.units import GIB
from engine.weights.progress import DownloadProgress
from tests.conftest import TESTS, wait_until
from tests.support.hub import Hub
from tests.support.machines import LINUX, RTX_4060_TI
from tests.support.samples import sample_of, seen, without_gpu
from ui.tabs import first_run
from ui.tabs.first_run import HandOver, hand_over

BIG = "wan2.1-t2v-14b-fp8"
LARGE = "large"  # the scripted model with weights to fetch, for a GPU
Make = Callable[..., Engine]


def card(gib: float = 16) -> MemorySample:
    sample = seen()
    return replace(sample, gpu=sample_of(replace(RTX_4060_TI, total=round(gib * GIB))))


@pytest.fixture
def make(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Make:
    """An engine on a machine with this memory."""

    def make(sample: MemorySample) -> Engine:
        made = Engine(Home.find(), load_presets(), jobs)
        monkeypatch.setattr(made.plans, "_machine", lambda: LINUX)
        monkeypatch.setattr(made.guard, "_look", lambda: sample)
        monkeypatch.setattr(made, "look", lambda: sample)
        return made

    return make


@pytest.fixture
def fetchable(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub's model as one for a GPU."""
    folder = tmp_path / "gpu presets"
    folder.mkdir()
    text = (TESTS / "fixtures/presets_weights/fetched.yaml").read_text(encoding="utf-8")
    for old, new in {
        "id: fetched": f"id: {LARGE}",
        "name: Fetched": "name: Large (FP8)",
        "runs_on: cpu": "runs_on: nvidia",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "large.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("HEADROOM_PRESETS", str(folder))
    return hub


def said(engine: Engine) -> str:
    return str(first_run.first_run(engine).said)


def button(engine: Engine) -> str | None:
    """The words of the one button; None where there is none."""
    act = first_run.refreshed(engine)[2]
    return str(act.value) if act.visible else None


# ---- what is said --------------------------------------------------------------------------


def test_a_card_is_told_what_it_makes_and_what_that_takes(make: Make) -> None:
    engine = make(card())
    assert said(engine) == (
        "Your RTX 4060 Ti makes 832 × 480, 5.1 s with Wan2.1 14B. 22.3 GB to download."
    )
    assert first_run.first_run(engine).model == BIG
    assert button(engine) == "Download"


def test_no_card_is_promised_what_was_never_tested_on_it(make: Make) -> None:
    engine = make(card(8))
    assert said(engine).startswith("Your RTX 4060 Ti can try Wan2.1 14B: each size is tested")
    assert button(engine) == "Download"


def test_without_a_gpu_it_says_what_real_video_needs(make: Make) -> None:
    engine = make(without_gpu())
    assert said(engine) == (
        "Wan tiny is a demo model. For real video, get Wan2.1 14B: it needs an NVIDIA GPU with at "
        "least 15.0 GB of memory."
    )
    box, text, act, lead = first_run.refreshed(engine)
    assert box.visible
    assert lead.visible
    assert not act.visible, "nothing to download here"
    assert "role='progressbar'" not in text


def test_whoever_has_made_a_clip_knows_what_the_demo_is(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make(without_gpu())
    monkeypatch.setattr(engine.library, "newest", lambda _n: ["a clip"])
    assert said(engine) == ""
    assert not first_run.refreshed(engine)[0].visible


def test_a_full_disk_is_told_before_anything_is_fetched(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.weights.state.free_bytes", lambda folder: 10**10)
    engine = make(card())
    assert "Not enough disk space: 22.3 GB to download" in said(engine)
    assert button(engine) is None


def test_running_it_says_how_far_it_is_and_pauses(make: Make) -> None:
    engine = make(card())
    DownloadProgress(
        "fetching", done=4 * 10**9, total=20 * 10**9, rate=2e7, left=800.0, pid=os.getpid()
    ).save(engine.downloads.folder(BIG))
    assert button(engine) == "Pause"
    text = first_run.refreshed(engine)[1]
    assert "aria-valuenow='20'" in text
    assert "20 %, 4.0 GB of 20.0 GB, 20.0 MB/s, about 13 min left" in text
    assert "to download" not in text, "the bar says it"


def test_before_it_runs_no_time_is_invented(make: Make) -> None:
    text = first_run.refreshed(make(card()))[1]
    assert " min" not in text


def test_a_failure_is_told_with_the_way_on(make: Make) -> None:
    engine = make(card())
    hostile = "<img src=x onerror=alert(1)>"
    DownloadProgress(
        "failed", told=plain(f"The disk is full {hostile}."), remedy=plain("Go.")
    ).save(engine.downloads.folder(BIG))
    text = first_run.refreshed(engine)[1]
    assert "The disk is full" in text
    assert "Go." in text
    assert "<img" not in text
    assert button(engine) == "Download"


@pytest.mark.starts
def test_one_button_downloads_pauses_and_goes_on(fetchable: Hub, make: Make) -> None:
    fetchable.fault("models_t5", pace=200_000)
    engine = make(card())
    assert said(engine) == ("Your RTX 4060 Ti makes 48 × 32, 0.6 s with Large. 8.0 MB to download.")
    first_run.pressed(engine)
    assert button(engine) == "Pause"
    wait_until(lambda: engine.downloads.progress(LARGE).rate > 0, "bytes")
    first_run.pressed(engine)
    assert "Paused at " in said(engine)
    assert button(engine) == "Resume"
    fetchable.heal()
    first_run.pressed(engine)
    wait_until(lambda: engine.downloads.progress(LARGE).phase == "done", "the end")
    assert said(engine) == ""


# ---- the hand-over -------------------------------------------------------------------------


@pytest.mark.starts
def test_a_model_that_has_come_is_handed_over_once(fetchable: Hub, make: Make) -> None:
    engine = make(card())
    opened = hand_over(engine, None)
    assert opened == HandOver("", plain(""), []), "a page that is opened has missed nothing"
    engine.downloads.start(LARGE)
    wait_until(lambda: engine.downloads.progress(LARGE).phase == "done", "the end")
    came = hand_over(engine, opened.ready)
    assert came.model == LARGE
    assert str(came.said) == "Large is ready. Your next clip is made with it."
    assert hand_over(engine, came.ready).model == "", "whoever chose another one since keeps it"
    assert hand_over(engine, None).model == ""


@pytest.mark.starts
def test_a_model_that_cant_run_yet_is_not_chosen(
    fetchable: Hub, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make(card())
    engine.downloads.start(LARGE)
    wait_until(lambda: engine.downloads.progress(LARGE).phase == "done", "the end")
    for module in ("engine.guard.verdicts", "ui.tabs.pulls", "ui.tabs.first_run"):
        monkeypatch.setattr(f"{module}.is_here", lambda preset: preset.id != LARGE)
    came = hand_over(engine, [])
    assert came.model == ""
    assert str(came.said).startswith("Large is downloaded. ")
    assert "isn't installed" in str(came.said)


def test_a_drive_that_doesnt_answer_is_no_news(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make(card())

    def gone(_model: str) -> None:
        raise OSError("Transport endpoint is not connected")

    monkeypatch.setattr(engine.downloads, "look", gone)
    assert hand_over(engine, [BIG]).ready == [BIG]
    assert hand_over(engine, []).ready == []


def test_the_verdict_word_decides_what_is_promised(make: Make) -> None:
    """Memory that others hold now changes nothing about what the card makes."""
    engine = make(seen(used=79 * GIB))
    size = engine.guard.rules(BIG).baseline
    assert engine.guard.verdict(BIG, size).word is Word.BUSY
    assert said(engine).startswith("Your RTX 4060 Ti makes 832 × 480")
