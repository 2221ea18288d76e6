"""Sources that lack a file, hubs that refuse, disks that are full: sentences, and nothing lost."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.home import Home
from engine.presets import load_presets
from engine.weights.downloads import Downloads
from engine.weights.manifest import OURS, Manifest
from tests.conftest import wait_until
from tests.support.fetching import ENCODER, MODEL, Run, assert_whole, end, here, pull
from tests.support.hub import COMMIT, Hub

pytestmark = pytest.mark.starts

# ---- sources -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["the repository is gone", "a block is gone", "it is refused"])
def test_the_next_source_is_taken_where_one_lacks_it(
    hub: Hub, downloads: Downloads, here_and_now: Run, way: str
) -> None:
    files = hub.repos["one/distilled"]
    if way == "a block is gone":
        del files["distill_fp8/block_1.safetensors"]
    elif way == "it is refused":
        hub.fault("tree/", status=403, times=1)
    else:
        hub.repos["one/spare"] = {"distill_fp8/Wan2.1_VAE.pth": files["distill_fp8/Wan2.1_VAE.pth"]}
        hub.fault("one/distilled/resolve", status=404, headers={"X-Error-Code": "EntryNotFound"})
        for path in list(files):
            if "VAE" not in path:
                del files[path]
        hub.heal()
    assert here_and_now(downloads).phase == "done"
    seen = downloads.look(MODEL)
    assert seen.state == "ready"
    assert seen.parts[0].repo == "two/models"
    assert (downloads.folder(MODEL) / "wan_fp8.safetensors").is_file()


def test_a_source_that_vanishes_during_the_download_is_left(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    gone = {"X-Error-Code": "EntryNotFound"}
    hub.fault("one/distilled/resolve/" + COMMIT + "/distill_fp8/block_2", status=404, headers=gone)
    hub.fault(f"one/distilled/resolve/{COMMIT}/distill_fp8/models_t5", status=404, headers=gone)
    assert here_and_now(downloads).phase == "done"
    seen = downloads.look(MODEL)
    assert [part.repo for part in seen.parts[:2]] == ["two/models", "two/encoders"]
    assert seen.state == "ready"


def test_a_revision_that_is_gone_is_replaced_and_whats_the_same_is_kept(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    here_and_now(downloads)
    folder = downloads.folder(MODEL)
    (folder / "distill_fp8/block_0.safetensors").unlink()
    (folder / "distill_fp8/block_1.safetensors").unlink()
    files = hub.repos["one/distilled"]
    other = bytearray(files["distill_fp8/block_2.safetensors"])
    other[-1] ^= 1
    files["distill_fp8/block_2.safetensors"] = bytes(other)
    (folder / OURS / "0123.part").write_bytes(b"of the old revision")
    hub.commits[:] = ["f" * 40]
    before = hub.count
    assert here_and_now(downloads).phase == "done"
    assert hub.count - before == 3 * 17_150, "two that were missing, one that is another now"
    assert_whole(downloads, hub)
    commits = {p.role: p.commit for p in Manifest.load(folder).promises.values()}
    assert commits["transformer"] == "f" * 40


def test_xet_is_used_by_those_who_ask_for_it(
    hub: Hub, downloads: Downloads, here_and_now: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client gets a fresh file; our hub can't speak to it, so a stand-in writes the bytes."""
    from huggingface_hub import constants, file_download

    begun: list[bool] = []

    def xet_get(*, incomplete_path: Path, xet_file_data: Any, **_: object) -> None:
        begun.append(incomplete_path.exists())
        incomplete_path.write_bytes(hub.by_hash(xet_file_data.file_hash)[1])

    monkeypatch.setattr(file_download, "xet_get", xet_get)
    monkeypatch.setattr(constants, "HF_XET_HIGH_PERFORMANCE", True)
    assert here_and_now(downloads).phase == "done"
    assert begun == [False] * 6
    assert hub.count == 15, "only what is too small for Xet came from the hub itself"
    assert_whole(downloads, hub)


def test_a_login_is_asked_for_and_used_but_not_given_away(
    hub: Hub, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {"hf_secret"}
    progress = pull(downloads)
    assert progress.phase == "failed"
    assert progress.told.id == "weights.access_refused"
    assert "refused" in str(progress.told)
    assert "HF_TOKEN" in str(progress.remedy)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull(downloads).phase == "done"
    other_origin = [sent for sent in hub.sent if sent.count >= 1000]
    assert other_origin
    assert {sent.authorization for sent in other_origin} == {None}, "the CDN never sees the token"


REFUSALS = {
    "offline": ({"HF_HUB_OFFLINE": "1"}, None, "HF_HUB_OFFLINE is set", "Unset it"),
    "no network": ({"HF_ENDPOINT": "http://127.0.0.1:9"}, None, "can't be reached", "network"),
    "a proxy that isn't": (
        {
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
            "NO_PROXY": "",
            "no_proxy": "",
        },
        None,
        "",
        "HTTPS_PROXY",
    ),
    "a token of no letters": (
        {"HF_TOKEN": "hf_\u2603"},
        None,
        "token (HF_TOKEN, or the one saved at login) contains",
        "Copy it again",
    ),
    "a wrong token": ({}, {"status": 401}, "rejects the login", "renew"),
    "forbidden": ({}, {"status": 403}, "refused (403)", "accept its terms"),
    "nowhere": (
        {},
        {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}},
        "no longer",
        "newer",
    ),
    "no patience": (
        {},
        {"status": 429, "headers": {"Retry-After": "900"}},
        "too many requests",
        "Wait",
    ),
    "login page": (
        {},
        {"status": 200, "body": b"<html>Hotel</html>"},
        "didn't come from the hub",
        "log in to",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_a_sentence_with_a_remedy(
    hub: Hub, downloads: Downloads, here_and_now: Run, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    environment, fault, sentence, remedy = REFUSALS[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if fault is not None:
        hub.fault("/api/", method="*", **fault)
    progress = pull(downloads) if environment else here_and_now(downloads)
    assert progress.phase == "failed"
    assert sentence in str(progress.told)
    assert remedy in str(progress.remedy)
    assert "Traceback" not in str(progress.told)
    assert len(str(progress.told).splitlines()) == 1


# ---- the disk ------------------------------------------------------------------------------


Resize = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Resize]:
    """A disk whose size can be changed, where mounting is allowed."""
    place = tmp_path / "small disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")

    def resize(size: str) -> Path:
        how = f"{'remount,' * place.is_mount()}size={size}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)])
        if done.returncode:
            pytest.skip("mounting isn't permitted here")
        return place

    yield resize
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    hub: Hub, disk: Resize, here_and_now: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(disk("1900m") / "home"))
    progress = here_and_now(Downloads(Home.find(), load_presets()))
    assert progress.phase == "failed"
    for words in ("8.1 MB more", "2.0 GB to spare", "GB is free"):
        assert words in str(progress.told)
    assert "HEADROOM_HOME" in str(progress.remedy)
    assert hub.count == 0


def test_a_disk_that_fills_in_the_middle_is_told_and_nothing_is_lost(
    hub: Hub, disk: Resize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(disk("3g") / "home"))
    hub.fault(ENCODER, pace=1_500_000)
    downloads = Downloads(Home.find(), load_presets())
    downloads.start(MODEL)
    wait_until(lambda: here(downloads) > 1_000_000, "some bytes")
    disk("4m")
    progress = end(downloads)
    assert progress.phase == "failed"
    assert str(progress.told).startswith("The disk is full: distill_fp8/")
    assert "Free some space" in str(progress.remedy)
    kept, requests = here(downloads), len(hub.sent)
    assert kept > 2_000_000, "what was downloaded is kept"
    assert downloads.look(MODEL).state == "partial"
    disk("3g")
    hub.heal()
    assert pull(downloads).phase == "done"
    assert hub.count_since(requests) == hub.size - kept
    assert_whole(downloads, hub)


def test_a_read_only_folder_is_told(
    hub: Hub, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "read only"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting isn't permitted here")
    try:
        downloads.home.weights.mkdir(parents=True)
        downloads.folder(MODEL).symlink_to(place)
        progress = pull(downloads)
        assert progress.phase == "failed"
        assert progress.told.id == "weights.read_only"
        assert "read-only" in str(progress.told)
        assert "HEADROOM_HOME" in str(progress.remedy)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
