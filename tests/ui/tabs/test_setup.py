"""The Models tab's handlers: what cards say, what buttons do, and that nothing becomes markup."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.engine import Engine
from engine.presets import Presets
from engine.text import FileSize, Text, plain
from engine.weights.hub import WeightsError
from engine.weights.progress import DownloadProgress, FileProgress
from tests.conftest import wait_until
from tests.support.hub import Hub
from tests.support.tensorfiles import write_blocks, write_others
from ui.page import build_page, first_run
from ui.tabs import setup
from ui.tabs.pulls import pull_state, pulls_state
from ui.wording import speak, spoken

MODEL = "fetched"
BIG = "wan2.1-t2v-14b-fp8"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def on_hub(hub: Hub, engine: Engine) -> Engine:
    return engine


def card(engine: Engine, model: str = MODEL) -> dict[str, Any]:
    names = ("text", "fetch", "pause", "verify", "found")
    return dict(zip(names, setup.refreshed_card(engine, model), strict=True))


def buttons(engine: Engine) -> set[str]:
    return {name for name, part in card(engine).items() if name != "text" and part.visible}


@pytest.mark.starts
def test_a_card_goes_from_missing_to_ready(on_hub: Engine) -> None:
    assert "missing 8.0 MB" in card(on_hub)["text"]
    assert card(on_hub)["fetch"].value == "Download 8.0 MB"
    assert buttons(on_hub) == {"fetch"}
    setup.act(on_hub, MODEL, "pull")
    assert buttons(on_hub) == {"pause"}
    assert "fetching" in card(on_hub)["text"]
    with pytest.raises(WeightsError, match="being downloaded"):
        on_hub.downloads.use(MODEL, "/")
    wait_until(lambda: on_hub.downloads.progress(MODEL).phase == "done", "the download")
    assert "ready, 8.1 MB" in card(on_hub)["text"]
    assert buttons(on_hub) == {"verify"}
    assert setup.first_run_html(on_hub) == ""
    file = on_hub.home.weights / MODEL / "distill_fp8/block_0.safetensors"
    file.write_bytes(b"short")
    assert "Damaged: " in card(on_hub)["text"]
    assert "Fetch the damaged files again" in card(on_hub)["fetch"].value
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
    assert "It doesn&#x27;t fit: 22.3 GB to fetch and 2 GB to spare; 10.0 GB are free" in text


def test_a_machine_that_cant_use_it_is_told_so_and_not_urged(engine: Engine) -> None:
    if engine.look().gpu is not None:
        pytest.skip("this machine may be able to")
    shown = card(engine, BIG)
    assert "This machine can&#x27;t use it: No NVIDIA" in shown["text"]
    assert shown["fetch"].variant == "secondary"
    assert "22.3 GB to fetch and 2 GB to spare" in shown["text"]


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
    assert f"Used where it lies: {theirs}" in card(on_hub)["text"]
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


def test_the_first_page_leads_to_set_up_while_only_the_default_is_here(
    engine: Engine,
) -> None:
    row, text = first_run(engine)
    assert row.visible is True
    assert "Wan tiny is all that is installed so far" in text


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
        "1 of 2 files are here.",
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
    assert "目前只安装了 Wan tiny。" in setup.first_run_html(on_hub)
    assert "title='良好'" in setup.machine_html(on_hub)


def test_the_models_that_ship_come_in_a_helpful_order(engine: Engine, presets: Presets) -> None:
    page = build_page(engine).get_config_file()
    ids = [part["props"].get("elem_id") or "" for part in page["components"]]
    cards = [i for i in ids if i.startswith("card-wan")]
    assert cards == [f"card-wan2-1-t2v-14b-{name}" for name in ("fp8", "int8", "bf16")]


def test_a_model_that_ships_waits_for_what_makes_clips(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = presets.models["wan-tiny"]
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
