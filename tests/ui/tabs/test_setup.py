"""The Models tab's handlers: what cards say, what buttons do, and that nothing becomes markup."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.default_model import Candidate, candidates, with_files
from engine.engine import Engine
from engine.guard.verdict import Word
from engine.presets import Presets
from engine.text import NOTHING, FileSize, Text, plain
from engine.weights.hub import WeightsError
from engine.weights.progress import DownloadProgress, FileProgress
from engine.weights.state import WeightPart
from tests.conftest import wait_until
from tests.support.events import press
from tests.support.hub import Hub
from tests.support.machines import LINUX
from tests.support.samples import seen, without_gpu
from tests.support.tensorfiles import write_blocks, write_others
from ui.page import build_page
from ui.tabs import first_run, setup
from ui.tabs.pulls import pull_state, pulls_state
from ui.wording import speak, spoken

MODEL = "fetched"
BIG = "wan2.1-t2v-14b-fp8"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def on_hub(hub: Hub, engine: Engine) -> Engine:
    return engine


def card(engine: Engine, model: str = MODEL) -> dict[str, Any]:
    names = ("box", "text", "fetch", "pause", "verify", "found")
    return dict(zip(names, setup.refreshed_card(engine, model), strict=True))


def buttons(engine: Engine) -> set[str]:
    parts = card(engine).items()
    return {name for name, part in parts if name not in ("box", "text") and part.visible}


@pytest.mark.starts
def test_each_button_does_its_own(on_hub: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    works = on_hub.downloads

    def use(model: str, folder: str) -> list[Path]:
        done.append((folder, model))
        return []

    monkeypatch.setattr(works, "start", lambda model, what: done.append((what, model)))
    monkeypatch.setattr(works, "pause", lambda model: done.append(("pause", model)))
    monkeypatch.setattr(works, "offers", lambda model: [Path("/cached")])
    monkeypatch.setattr(works, "use", use)
    page = build_page(on_hub)
    for part in ("fetch", "verify", "pause", "found"):
        press(page, f"{part}-{MODEL}", None)
    press(page, f"use-folder-{MODEL}", "/typed")
    press(page, f"folder-{MODEL}", "/typed", event="submit")
    wanted = ["pull", "verify", "pause", "/cached", "/typed", "/typed"]
    assert done == [(what, MODEL) for what in wanted]


@pytest.mark.starts
def test_a_card_goes_from_missing_to_ready(on_hub: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "missing 8.0 MB" in card(on_hub)["text"]
    assert card(on_hub)["fetch"].value == "Download 8.0 MB"
    assert buttons(on_hub) == {"fetch"}
    setup.act(on_hub, MODEL, "pull")
    assert buttons(on_hub) == {"pause"}
    assert "downloading" in card(on_hub)["text"]
    with pytest.raises(WeightsError, match="being downloaded"):
        on_hub.downloads.use(MODEL, "/")
    wait_until(lambda: on_hub.downloads.progress(MODEL).phase == "done", "the download")
    assert "ready, 8.1 MB" in card(on_hub)["text"]
    assert buttons(on_hub) == {"verify"}
    with monkeypatch.context() as patch:
        look, tiny = on_hub.downloads.look, WeightPart("tiny_vae", "a/b", "t", 45_300_000, 0, None)
        patch.setattr(on_hub.downloads, "look", lambda model: replace(look(model), extras=(tiny,)))
        assert "ready, 8.1 MB" in card(on_hub)["text"], "the model is whole without it"
        assert "real pictures while a clip is being made" in card(on_hub)["text"]
        assert card(on_hub)["fetch"].value == "Download the tiny VAE (45.3 MB)"
        assert buttons(on_hub) == {"fetch", "verify"}
    file = on_hub.home.weights / MODEL / "distill_fp8/block_0.safetensors"
    file.write_bytes(b"short")
    assert "Damaged: " in card(on_hub)["text"]
    assert "Download the damaged files again" in card(on_hub)["fetch"].value
    assert buttons(on_hub) == {"fetch", "verify"}
    with pytest.raises(WeightsError, match="Damaged: "):
        on_hub.downloads.refuse_damaged(MODEL)


@pytest.mark.starts
def test_a_failure_and_a_pause_stay_on_the_card(on_hub: Engine) -> None:
    folder = on_hub.downloads.folder(MODEL)
    told, remedy = plain(f"The disk is full {HOSTILE}"), plain("Make room.")
    DownloadProgress("failed", told=told, remedy=remedy).save(folder)
    text = card(on_hub)["text"]
    assert "Make room." in text
    assert "<img" not in text
    DownloadProgress("paused", done=1, total=2).save(folder)
    assert "<p>Paused. </p>" in card(on_hub)["text"]


def test_a_download_that_wont_fit_is_told_before_it_is_tried(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.weights.state.free_bytes", lambda folder: 10**10)
    text = card(engine, BIG)["text"]
    assert "Not enough disk space: 22.3 GB to download, plus 2 GB to spare. 10.0 GB free" in text


@pytest.fixture
def card_4060(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine on a machine with a 4060 Ti."""
    monkeypatch.setattr(engine.plans, "_machine", lambda: LINUX)
    monkeypatch.setattr(engine.guard, "_look", seen)
    monkeypatch.setattr(engine, "look", seen)
    return engine


@pytest.fixture
def no_gpu(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(engine.guard, "_look", without_gpu)
    monkeypatch.setattr(engine, "look", without_gpu)
    return engine


def folded(engine: Engine) -> str:
    return setup.barred_html(engine, with_files(engine))


def test_nothing_is_offered_of_what_cant_run_here(no_gpu: Engine) -> None:
    for model in (BIG, "wan2.1-t2v-14b-int8", "wan2.1-t2v-14b-bf16"):
        shown = card(no_gpu, model)
        assert not any(part.visible for name, part in shown.items() if name != "text"), model
    text = folded(no_gpu)
    assert "<summary>Can&#x27;t run on this machine (7)</summary>" in text
    assert text.count("needs an NVIDIA GPU, and this computer has none") == 7
    assert "GB" not in text.replace("16 GB and more", "").replace("48 GB", ""), "nor its download"


def test_what_cant_run_here_is_folded_with_the_reason(card_4060: Engine) -> None:
    barred = [c.preset.id for c in candidates(card_4060) if c.barred]
    assert "wan2.1-t2v-14b-int8" in barred, "no kernels for it are installed"
    text = folded(card_4060)
    assert "Wan2.1 14B (INT8)" in text
    assert "Wan2.1 14B (FP8)" not in text
    assert not card(card_4060, "wan2.1-t2v-14b-int8")["box"].visible
    assert card(card_4060, BIG)["box"].visible


def test_the_recommended_model_is_labelled_with_its_reason(card_4060: Engine) -> None:
    shown = card(card_4060, BIG)
    assert "Wan2.1 14B (FP8)</b> <span class='badge'>Recommended</span>" in shown["text"]
    assert "The best match for your RTX 4060 Ti." in shown["text"]
    assert shown["fetch"].variant == "primary"
    tiny = next(c for c in candidates(card_4060) if c.preset.id == "wan-tiny")
    assert "Recommended" not in setup.shipped_html(tiny)


def test_without_a_gpu_the_demo_model_is_the_recommended_one(no_gpu: Engine) -> None:
    first = candidates(no_gpu)[0]
    assert first.preset.id == "wan-tiny"
    assert "Recommended" in setup.shipped_html(first)
    assert folded(no_gpu).count("Wan tiny") == 0


def test_files_of_a_model_that_cant_run_here_are_named(no_gpu: Engine) -> None:
    file = no_gpu.home.weights / BIG / "distill_fp8/Wan2.1_VAE.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 2_000_000)
    text = folded(no_gpu)
    assert f"2.0 MB of it are in {no_gpu.home.weights / BIG}; delete that folder" in text


def test_a_download_that_runs_all_the_same_can_be_paused(no_gpu: Engine) -> None:
    """Another program of the same folder may fetch it, for another computer."""
    DownloadProgress("fetching", done=1, total=4, pid=os.getpid()).save(no_gpu.home.weights / BIG)
    shown = card(no_gpu, BIG)
    assert shown["box"].visible
    assert shown["pause"].visible
    assert not shown["fetch"].visible
    assert "This machine can&#x27;t use it: " in shown["text"]


@pytest.mark.starts
def test_a_folder_is_used_or_refused(on_hub: Engine, tmp_path: Path) -> None:
    said, *_ = setup.use_folders(on_hub, MODEL, [str(tmp_path / HOSTILE)])
    assert "doesn&#x27;t exist" in said
    assert "<img" not in said
    theirs = tmp_path / "theirs"
    write_blocks(theirs / "distill_fp8", "fp8")
    write_others(theirs / "distill_fp8", "fp8")
    (theirs / "distill_fp8/google").rename(theirs / "google")
    said, *_ = setup.use_folders(on_hub, MODEL, [f" {theirs} "])
    assert "not copied" in said
    assert f"Used in place: {theirs}" in card(on_hub)["text"]
    assert setup.use_folders(on_hub, MODEL, ["  "])[0] == ""
    theirs.rename(tmp_path / "gone")
    assert f"Linked, but not there now: {theirs}" in card(on_hub)["text"]


@pytest.mark.starts
def test_what_the_cache_holds_is_offered(
    on_hub: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    snapshot = tmp_path / "cache/models--one--distilled/snapshots/1"
    write_blocks(snapshot / "distill_fp8", "fp8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert f"Found in the hub&#x27;s cache: {snapshot}" in card(on_hub)["text"]
    assert buttons(on_hub) == {"fetch", "found"}
    setup.use_folders(on_hub, MODEL, [str(f) for f in on_hub.downloads.offers(MODEL)])
    assert "partial" in card(on_hub)["text"]
    assert "found" not in buttons(on_hub)


def test_the_machine_is_told_line_by_line(engine: Engine) -> None:
    text = setup.machine_html(engine)
    assert "Packages" in text
    assert text.count("<tr") == text.count("</tr>") > 5
    assert text.count("<span class='mark' role='img'") == text.count("<tr"), "each mark has a name"


def test_no_tick_stands_beside_what_isnt_good(no_gpu: Engine) -> None:
    text = setup.machine_html(no_gpu)
    for line in text.split("<tr ")[1:]:
        if "isn&#x27;t installed" in line or "No NVIDIA" in line or Word.IMPOSSIBLE.value in line:
            assert "✓" not in line
    assert "Wan2.1 14B" not in text, "nothing about models that can't run here"


@pytest.mark.starts
def test_running_work_is_drawn_and_its_end_is_told(on_hub: Engine) -> None:
    before = pulls_state(on_hub.downloads)
    assert before["pulls"] == {}
    setup.act(on_hub, MODEL, "pull")
    during = pulls_state(on_hub.downloads)
    assert set(during["pulls"]) == {MODEL}
    assert during["weights"] != before["weights"]
    wait_until(lambda: not pulls_state(on_hub.downloads)["pulls"], "the end")
    assert pulls_state(on_hub.downloads)["weights"] not in (before["weights"], during["weights"])


def test_files_on_their_way_are_named() -> None:
    files = (FileProgress("a/done.pth", 9, 9), FileProgress("a/half.pth", 10**9, 2 * 10**9))
    shown = pull_state(DownloadProgress("fetching", done=1, total=4, files=files))
    assert shown["fraction"] == 0.25
    assert spoken(shown, "en")["files"] == [
        "half.pth: 50 % of 2.0 GB",
        "1 of 2 files downloaded.",
    ]
    assert shown["files"][0] == Text(
        "setup.file_so_far", file="half.pth", percent=50, size=FileSize(2 * 10**9)
    )
    assert spoken(shown, "zh")["files"] == [
        "half.pth：50%，共 2.0 GB",
        "2 个文件中已有 1 个就位。",
    ]


@pytest.fixture
def in_chinese() -> Iterator[None]:
    speak("zh")
    yield
    speak("en")


@pytest.mark.starts
@pytest.mark.usefixtures("in_chinese")
def test_a_card_speaks_the_readers_language(on_hub: Engine) -> None:
    shown = card(on_hub)
    assert "缺少 8.0 MB" in shown["text"]
    assert "需下载 8.0 MB 并另留 2 GB" in shown["text"]
    assert shown["fetch"].value == "下载 8.0 MB"
    refusal = Text("weights.disk_full", what=HOSTILE)
    DownloadProgress("failed", told=refusal).save(on_hub.downloads.folder(MODEL))
    text = card(on_hub)["text"]
    assert "磁盘已满：放不下 &lt;img" in text
    assert "<img" not in text
    assert "aria-label='良好'" in setup.machine_html(on_hub)


def test_the_models_that_ship_come_in_a_helpful_order(engine: Engine, presets: Presets) -> None:
    page = build_page(engine).get_config_file()
    ids = [part["props"].get("elem_id") or "" for part in page["components"]]
    cards = [i for i in ids if i.startswith("card-wan")]
    of_words = [f"card-wan2-1-t2v-14b-{name}" for name in ("fp8", "int8", "bf16")]
    assert cards == [*of_words, *(f"card-wan2-2-i2v-a14b-{name}" for name in ("fp8", "int8"))]


def test_a_model_that_ships_waits_for_what_makes_clips(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Candidate(presets.models["wan-tiny"], NOTHING, NOTHING)
    assert "<span aria-hidden='true'>✓</span> ready" in setup.shipped_html(tiny)
    monkeypatch.setattr("engine.pipelines.engine_here", lambda: False)
    waiting = setup.shipped_html(tiny)
    assert "ready" not in waiting
    assert "isn&#x27;t installed yet. The page installs it while it is open" in waiting


@pytest.mark.starts
def test_a_card_that_fails_takes_no_other_with_it(
    on_hub: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = on_hub.downloads.look

    def dead(model: str) -> Any:
        if model == MODEL:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return look(model)

    monkeypatch.setattr(on_hub.downloads, "look", dead)
    assert "Transport endpoint is not connected. Connect or mount" in card(on_hub)["text"]
    assert buttons(on_hub) == set()
    other = next(preset.id for preset in on_hub.downloads.models if preset.id != MODEL)
    assert "missing" in card(on_hub, other)["text"]


def test_the_least_seconds_are_told_before_anything_is_fetched(
    card_4060: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.default_model.least_seconds", lambda _: {BIG: 66.2})
    told = "A clip of its default size takes at least 66 s on this card (kernel test)."
    assert told in setup.refreshed_card(card_4060, BIG)[1]
    assert "One takes at least 66 s (kernel test)." in str(first_run.first_run(card_4060).said)
