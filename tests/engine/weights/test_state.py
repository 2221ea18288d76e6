"""What is here, told without a network; folders that people already have; rooms and refusals."""

import errno
import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import httpx2
import pytest

from engine.home import Home
from engine.presets import PARTS, ModelPreset, Presets, load_presets
from engine.text import NOTHING, FileSize, Text, joined, plain
from engine.weights import fetch
from engine.weights.checkpoint import find_checkpoint
from engine.weights.disk_space import WINDOWS_PATH, refuse_long_paths, refuse_too_full
from engine.weights.download_process import lock_of
from engine.weights.downloads import Downloads
from engine.weights.fetch import digest
from engine.weights.header_check import check_transformer
from engine.weights.hub import FetchError, WeightsError, explain
from engine.weights.linked_folders import folders, link, unlink
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.progress import DownloadProgress, FileProgress, Pace, progress_text
from engine.weights.safetensors_header import WrongWeights
from engine.weights.state import look, use, weights_text
from tests.conftest import TESTS
from tests.support.tensorfiles import tiny, write, write_blocks, write_others
from ui.wording import say

FP8 = "wan2.1-t2v-14b-fp8"
T5 = "models_t5_umt5-xxl-enc-fp8.pth"


@pytest.fixture
def preset(presets: Presets) -> ModelPreset:
    return tiny(presets.models[FP8])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home with space" / "weights" / FP8


def whole(place: Path) -> Path:
    """The recipe's folder: ``distill_fp8`` with everything in it."""
    write_blocks(place / "distill_fp8", "fp8")
    write_others(place / "distill_fp8", "fp8")
    return place


# ---- states --------------------------------------------------------------------------------


def test_the_states_are_told_from_what_lies_there(folder: Path, preset: ModelPreset) -> None:
    seen = look(folder, preset)
    assert (seen.state, seen.percent, seen.present) == ("missing", 0, 0)
    assert weights_text(seen) == Text("weights.missing", size=FileSize(22_258_000_000))
    assert str(weights_text(seen)) == "missing 22.3 GB"
    assert seen.needed == seen.total + 2 * 10**9
    assert not folder.exists(), "looking leaves nothing behind"
    write_others(folder / "distill_fp8", "fp8")
    seen = look(folder, preset)
    assert [part.state for part in seen.parts] == ["missing", "ready", "ready", "ready"]
    assert seen.state == "partial"
    write_blocks(folder / "distill_fp8", "fp8")
    seen = look(folder, preset)
    assert (seen.state, seen.percent, seen.missing, seen.needed) == ("ready", 100, 0, 0)
    (folder / "distill_fp8/block_1.safetensors").unlink()
    assert look(folder, preset).parts[0].state == "partial"
    (folder / "distill_fp8/block_1.safetensors").write_bytes(b"<html>Please log in")
    seen = look(folder, preset)
    assert seen.state == "damaged"
    assert seen.told.id == "weights.something_else"
    assert seen.told.values["kind"] == Text("weights.kind_web_page")
    assert "web page" in str(seen.told)


def test_a_model_that_comes_with_the_program_is_ready(presets: Presets, folder: Path) -> None:
    seen = look(folder, presets.models["wan-tiny"])
    assert (seen.state, seen.percent, seen.parts) == ("ready", 100, ())
    assert str(weights_text(seen)) == "ready"


def test_a_record_that_is_damaged_is_no_obstacle(folder: Path, preset: ModelPreset) -> None:
    whole(folder)
    (folder / OURS).mkdir()
    for text in ("{", '{"format": 1}', '{"format": 9, "files": [], "checks": {}}', "[]"):
        (folder / OURS / "manifest.json").write_text(text)
        (folder / OURS / "linked.json").write_text(text)
        (folder / OURS / "progress.json").write_text(text)
        assert look(folder, preset).state == "ready"
        assert DownloadProgress.load(folder) is None


def test_a_check_lapses_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    file.write_bytes(b"good")
    manifest = Manifest(tmp_path)
    manifest.promise("vae", [Promise("vae", "a/b", "c", "a.pth", "", 4, "s", "g")])
    assert manifest.verdict("a.pth", file) is None
    manifest.note("a.pth", file, True)
    manifest.save()
    assert Manifest.load(tmp_path) == manifest
    assert manifest.verdict("a.pth", file) is True
    os.utime(file, ns=(1, 1))
    assert manifest.verdict("a.pth", file) is None
    file.write_bytes(b"too long")
    assert manifest.verdict("a.pth", file) is False
    file.unlink()
    assert manifest.verdict("a.pth", file) is False


# ---- what people have ----------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "distill_fp8", ".."])
def test_the_recipes_folder_is_used_where_it_lies(
    tmp_path: Path, folder: Path, preset: ModelPreset, inside: str
) -> None:
    """People point at the folder, at the one above it, or at the one with the blocks."""
    theirs = whole(tmp_path / "Wägen und Räder" / "Wan2.1-T2V-14B-StepDistill")
    before = sorted(theirs.rglob("*"))
    use(folder, preset, theirs / inside)
    assert look(folder, preset).state == "ready"
    checkpoint = find_checkpoint(folder, preset)
    check_transformer(checkpoint, preset)
    assert checkpoint.transformer == theirs / "distill_fp8"
    assert sorted(theirs.rglob("*")) == before, "nothing of theirs was touched"
    assert sorted(p.name for p in folder.rglob("*")) == [OURS, "linked.json"], "nothing was copied"
    unlink(folder)
    assert look(folder, preset).state == "missing"


def hub_cache(top: Path, repo: str, files: Path, inside: str) -> Path:
    """A cache as huggingface_hub keeps it: blobs, and a snapshot of links to them."""
    place = top / ("models--" + repo.replace("/", "--"))
    snapshot = place / "snapshots" / ("0" * 40)
    (place / "blobs").mkdir(parents=True)
    for number, file in enumerate(sorted(f for f in files.rglob("*") if f.is_file())):
        blob = place / "blobs" / str(number)
        blob.write_bytes(file.read_bytes())
        target = snapshot / inside / file.relative_to(files)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(blob)
    return snapshot


def test_the_hubs_cache_is_recognised_and_offered(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, preset: ModelPreset
) -> None:
    """The tokenizer lies in another repository's folder there."""
    from huggingface_hub import constants

    source, cache = tmp_path / "source", tmp_path / "hf home" / "hub"
    write_blocks(source, "fp8")
    write_others(source, "fp8")
    (source / "google").rename(tmp_path / "google")
    one = hub_cache(cache, preset.weights[0].sources[0].repo, source, "distill_fp8")
    two = hub_cache(cache, "lightx2v/Encoders", tmp_path / "google", "google")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    downloads = Downloads(Home.find(), Presets({FP8: preset}, (), {}))
    assert downloads.offers(FP8) == [one, two]
    use(folder, preset, cache.parent)
    assert look(folder, preset).state == "ready"
    assert folders(folder) == [folder, one, two]
    assert downloads.offers(FP8) == []
    downloads.close()


def test_a_linked_folder_that_is_gone_is_named(
    tmp_path: Path, folder: Path, preset: ModelPreset
) -> None:
    theirs = whole(tmp_path / "usb")
    use(folder, preset, theirs)
    theirs.rename(tmp_path / "unplugged")
    seen = look(folder, preset)
    assert seen.state == "missing"
    assert seen.gone == (theirs,)


def test_a_folder_that_wont_do_is_refused(
    tmp_path: Path, folder: Path, preset: ModelPreset
) -> None:
    with pytest.raises(WeightsError, match="doesn't exist"):
        use(folder, preset, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="has no files of Wan"):
        use(folder, preset, tmp_path / "empty")
    write_blocks(tmp_path / "other/distill_fp8", "int8")
    with pytest.raises(WrongWeights, match="FP8 is expected"):
        use(folder, preset, tmp_path / "other")
    write(tmp_path / "comfy/model_comfyui.safetensors", {"a.scale_weight": ("F32", (1,))})
    with pytest.raises(WeightsError, match="has no files"):
        use(folder, preset, tmp_path / "comfy")
    assert not folder.exists()


def test_the_newest_link_comes_first(tmp_path: Path, folder: Path) -> None:
    link(folder, [tmp_path / "a", tmp_path / "b"])
    link(folder, [tmp_path / "b", tmp_path / "c"])
    assert folders(folder) == [folder, *(tmp_path / name for name in "bca")]


# ---- room, refusals, words -----------------------------------------------------------------


def test_a_download_that_wont_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    refuse_too_full(tmp_path / "not there yet", 0, "Wan")
    with pytest.raises(WeightsError) as caught:
        refuse_too_full(tmp_path / "not there yet", 10**18, "Wan")
    assert caught.value.sentence.id == "weights.too_full"
    assert caught.value.sentence.values["needed"] == FileSize(10**18)
    assert "1000000000.0 GB more plus 2.0 GB to spare" in str(caught.value.sentence)


def test_windows_long_paths_are_refused_there_only() -> None:
    deep = Path("C:/" + "d" * WINDOWS_PATH)
    refuse_long_paths([deep], "linux")
    refuse_long_paths([Path("C:/short")], "win32")
    with pytest.raises(WeightsError, match="262 characters"):
        refuse_long_paths([deep], "win32")


@pytest.mark.parametrize(
    ("number", "sentence", "remedy"),
    [
        (errno.ENOSPC, "The disk is full", "Free some space"),
        (errno.EROFS, "read-only", "Make it writable"),
        (errno.EACCES, "read-only", "HEADROOM_HOME"),
        (errno.EFBIG, "FAT32 allows at most 4 GB", "another drive"),
        (errno.ENAMETOOLONG, "too long", "shorter"),
        (errno.EIO, "didn't arrive complete", "kept"),
    ],
)
def test_the_disks_refusals_are_sentences(number: int, sentence: str, remedy: str) -> None:
    refusal = explain(OSError(number, os.strerror(number)), "block_1.safetensors")
    assert sentence in str(refusal.sentence)
    assert remedy in str(refusal.remedy)
    assert not refusal.again, "trying again at once would not help"


def test_what_may_pass_is_told_apart_from_what_wont() -> None:
    for passing in (
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
        httpx2.ReadError("reset"),
        OSError("Consistency check failed: file should be of size 3 but has size 2"),
    ):
        assert explain(passing, "a file").again
    assert not explain(httpx2.ProxyError("407"), "a file").again
    assert explain(FetchError("said", "so"), "a file").sentence == plain("said")
    assert "boom" in str(explain(RuntimeError("boom\nmore"), "a file").sentence)


def test_a_network_that_stays_away_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, heard = _tries_of(repeat(40.0), tmp_path, monkeypatch)
    assert waits == [1, 2, 4, 8, 16, 30], "each wait is longer, up to half a minute"
    assert str(heard[2]) == (
        "The hub can't be reached for vae.pth of a/b: no route to host. Retrying in 4 s."
    )
    assert heard[2].values["parts"][1] == Text("weights.next_try", seconds=4.0)


def test_a_night_in_the_middle_of_a_try_is_no_reason_to_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = 8 * 3600.0
    waits, _ = _tries_of(chain([1.0, night], repeat(40.0)), tmp_path, monkeypatch)
    assert waits == [1, 2, 4, 8, 16, 30]


def _tries_of(
    seconds: Iterable[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[Text]]:
    """The waits between tries that take ``seconds`` and fail, until it gives up; what it said."""
    waits: list[float] = []
    heard: list[Text] = []
    tries, now = iter(seconds), [0.0]

    def sleep(wait: float) -> None:
        waits.append(wait)
        now[0] += wait

    def broken(promise: Promise, part: Path) -> None:
        now[0] += next(tries)
        raise httpx2.ConnectError("no route to host")

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(fetch, "_once", broken)
    promise = Promise("vae", "a/b", "c", "vae.pth", "", 4, "s", "g")
    with pytest.raises(FetchError, match="can't be reached"):
        fetch.fetch(promise, tmp_path / "vae.pth", tmp_path / "part", heard.append)
    return waits, heard


def test_small_files_are_checked_by_gits_own_hash(tmp_path: Path) -> None:
    file = tmp_path / "hello"
    file.write_bytes(b"Hello, World!")
    promise = Promise("tokenizer", "a/b", "c", "hello", "hello", 13, None, "g")
    assert digest(file, promise) == "b45ef6fec89518d314f546fd6c3025367b721684"


def test_progress_reads_well_and_an_end_is_no_pace() -> None:
    pace = Pace()
    assert pace.see(100, 1.0) == 0
    assert pace.see(300, 2.0) == 200
    assert pace.see(300, 60.0) == 0, "only the last seconds count"
    progress = DownloadProgress(
        "fetching",
        done=13_600_000_000,
        total=22_300_000_000,
        rate=45e6,
        left=193.3,
        files=(FileProgress("a", 1, 2),),
    )
    assert str(progress_text(progress)) == ("60 %, 13.6 GB of 22.3 GB, 45.0 MB/s, about 3 min left")
    assert say(progress_text(progress), "zh") == (
        "60%，13.6 GB / 22.3 GB，45.0 MB/秒，大约还需 3 分"
    )
    checks = replace(progress, phase="checking", rate=0.0, left=5400.0)
    assert str(progress_text(checks)) == "60 % checked, 13.6 GB of 22.3 GB, about 1.5 h left"
    told = joined(plain("The hub failed."), Text("weights.next_try", seconds=4.0))
    waits = replace(progress, rate=0.0, left=None, told=told)
    assert str(progress_text(waits)) == (
        "60 %, 13.6 GB of 22.3 GB. The hub failed. Retrying in 4 s."
    )
    assert progress_text(DownloadProgress("asking")) == Text("weights.asking")
    assert str(progress_text(DownloadProgress("asking"))) == "Asking the hub for its files."
    assert DownloadProgress("done", done=99_999, total=100_000).percent == 99, "100 means all of it"
    assert not DownloadProgress("fetching", pid=os.getpid(), at=0.0).working, "it stopped writing"
    other = Downloads(Home.find(), load_presets())
    folder = other.folder(FP8)
    DownloadProgress("fetching", done=1, total=2, pid=os.getpid()).save(folder)
    assert other.progress(FP8).working
    DownloadProgress("fetching", done=1, total=2, pid=2**22 + 1).save(folder)
    assert other.progress(FP8).phase == "paused"
    assert other.progress(FP8).told == Text("weights.interrupted")
    other.close()


def test_a_download_whose_last_word_is_from_before_a_sleep_still_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Downloads(Home.find(), load_presets())
    folder = other.folder(FP8)
    DownloadProgress("fetching", done=1, total=2, pid=os.getpid()).save(folder)
    woken = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: woken)
    assert other.progress(FP8).phase == "paused", "another process has its number now"
    with lock_of(folder):
        assert other.progress(FP8).phase == "fetching"
    assert other.progress(FP8).phase == "paused"


def test_how_it_ended_outlives_the_process_as_an_id_and_values(tmp_path: Path) -> None:
    refusal = explain(OSError(errno.ENOSPC, "no space"), Text("weights.the_record"))
    ended = DownloadProgress("failed", told=refusal.sentence, remedy=refusal.remedy)
    ended.save(tmp_path)
    kept = DownloadProgress.load(tmp_path)
    assert kept is not None
    assert (kept.told, kept.remedy) == (refusal.sentence, refusal.remedy)
    assert kept.told.id == "weights.disk_full"
    assert say(kept.told, "zh") == "磁盘已满：放不下 文件清单。"


def test_a_record_of_the_version_before_is_read_as_it_stands(tmp_path: Path) -> None:
    """It kept plain English under the same names."""
    (tmp_path / OURS).mkdir()
    (tmp_path / OURS / "progress.json").write_text(
        json.dumps(
            {
                "phase": "failed",
                "what": "pull",
                "done": 1,
                "total": 4,
                "rate": 0.0,
                "left": None,
                "fetched": 1,
                "files": [{"path": "a.pth", "done": 1, "bytes": 4}],
                "told": "The disk is full: a.pth doesn't fit.",
                "remedy": "",
                "damaged": [],
                "unknown": [],
                "pid": 7,
                "at": 5.0,
            }
        )
    )
    kept = DownloadProgress.load(tmp_path)
    assert kept is not None
    assert kept.told == plain("The disk is full: a.pth doesn't fit.")
    assert (kept.remedy, kept.files) == (NOTHING, (FileProgress("a.pth", 1, 4),))


def test_the_products_presets_name_files_for_every_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_PRESETS", str(TESTS / "fixtures/presets_weights"))
    for preset in Downloads(Home.find(), load_presets()).models:
        of_wan = {"transformer", "text_encoder", "vae"}
        assert {file.role for file in preset.weights} >= {*PARTS.get(preset.family, of_wan)}
        for file in preset.weights:
            assert all(source.revision for source in file.sources)


def test_a_linked_folder_that_cant_be_looked_at_is_gone(
    folder: Path, preset: ModelPreset, tmp_path: Path
) -> None:
    """``stat`` of it fails with another error than "no such file", as on a drive that died."""
    silent = tmp_path / ("x" * 300)
    link(folder, [silent])
    with pytest.raises(OSError, match="too long"):
        silent.stat()
    seen = look(folder, preset)
    assert (seen.state, seen.gone) == ("missing", (silent,))
    (tmp_path / "cache").mkdir()
    with pytest.raises(WeightsError, match="has no files"):
        use(folder, preset, tmp_path / "cache")
