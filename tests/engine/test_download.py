"""Downloads by the real huggingface_hub client from a hub on a local port, whatever happens there.

What was transferred is counted by that hub, so "goes on" means bytes and not words.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.download import Download, What, lock_of
from engine.downloads import Downloads
from engine.home import Home
from engine.manifest import OURS, Manifest
from engine.presets import load_presets
from engine.tally import Tally
from engine.transfer import CHUNK
from tests.conftest import wait_until
from tests.hub import COMMIT, PIECE, Hub

Run = Callable[..., Tally]

MODEL = "fetched"
ENCODER = "models_t5_umt5-xxl-enc-fp8.pth"
PARALLEL_LOSS = 4 * (CHUNK + 8192)  # what a kill may lose: a chunk of each file in memory


@pytest.fixture
def downloads(hub: Hub) -> Iterator[Downloads]:
    made = Downloads(Home.find(), load_presets())
    yield made
    made.close()


def end(downloads: Downloads, seconds: float = 40) -> Tally:
    """Wait until nobody works any more."""
    working = ("asking", "checking", "fetching")
    wait_until(lambda: downloads.tally(MODEL).phase not in working, "the end", seconds)
    return downloads.tally(MODEL)


def pull(downloads: Downloads) -> Tally:
    downloads.start(MODEL)
    return end(downloads)


@pytest.fixture
def here_and_now(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same work in this process, which saves the seconds that a start takes."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    def run(downloads: Downloads, what: What = "pull") -> Tally:
        preset = downloads.presets.models[MODEL]
        return Download(downloads.folder(MODEL), preset, what).run()

    return run


def part_bytes(downloads: Downloads) -> int:
    """Bytes in part files: what a later try needn't transfer."""
    return sum(part.stat().st_size for part in (downloads.folder(MODEL) / OURS).glob("*.part"))


def here(downloads: Downloads) -> int:
    """Bytes of weights in the model's folder, whole or in parts."""
    whole = sum(
        file.stat().st_size
        for file in downloads.folder(MODEL).rglob("*")
        if file.is_file() and OURS not in file.parts
    )
    return whole + part_bytes(downloads)


def assert_whole(downloads: Downloads, hub: Hub) -> None:
    """Every file has the hub's own bytes, and nothing else is left over."""
    folder, seen = downloads.folder(MODEL), downloads.look(MODEL)
    assert seen.state == "ready", seen
    for promise in Manifest.load(folder).promises.values():
        assert (folder / promise.path).read_bytes() == hub.repos[promise.repo][promise.path]
    assert here(downloads) == seen.total == hub.size
    assert part_bytes(downloads) == 0


def test_everything_comes_once_and_whole(hub: Hub, downloads: Downloads) -> None:
    assert downloads.look(MODEL).state == "missing"
    tally = pull(downloads)
    assert (tally.phase, tally.percent, tally.told) == ("done", 100, "")
    assert_whole(downloads, hub)
    assert hub.count == hub.size == tally.fetched
    assert not (downloads.folder(MODEL) / "distill_fp8/README.md").exists(), "not asked for"
    manifest = Manifest.load(downloads.folder(MODEL))
    assert {promise.commit for promise in manifest.promises.values()} == {COMMIT}
    asked = len(hub.asked)
    assert pull(downloads).phase == "done"
    assert hub.count == hub.size, "a second pull transfers nothing"
    assert len(hub.asked) == asked, "and asks nothing"


def test_kill_9_in_the_middle_loses_nothing(hub: Hub, downloads: Downloads) -> None:
    hub.fault(ENCODER, pace=2_000_000)
    downloads.start(MODEL)
    wait_until(lambda: here(downloads) > 3_000_000, "half of it")
    os.kill(downloads.tally(MODEL).pid, signal.SIGKILL)
    tally = end(downloads)
    assert tally.phase == "failed"
    assert "signal 9" in tally.told
    kept, sent = here(downloads), hub.count
    assert downloads.look(MODEL).state == "partial"
    assert downloads.look(MODEL).percent == 100 * kept // hub.size
    hub.heal()
    assert pull(downloads).phase == "done"
    assert hub.count - sent == hub.size - kept, "only the missing bytes were transferred"
    resumed = [sent for sent in hub.sent if sent.path.endswith(ENCODER)][-1]
    assert resumed.start > 2_000_000 - PARALLEL_LOSS
    assert_whole(downloads, hub)


def test_pause_ends_it_and_resume_goes_on(hub: Hub, downloads: Downloads) -> None:
    hub.fault(ENCODER, pace=2_000_000)
    downloads.start(MODEL)
    wait_until(lambda: downloads.tally(MODEL).done > 3_000_000, "half of it")
    downloads.pause(MODEL)
    tally = downloads.tally(MODEL)
    assert (tally.phase, tally.told) == ("paused", "")
    assert 30 < tally.percent < 100
    kept, sent = here(downloads), hub.count
    hub.commits.append("f" * 40)  # main moves on meanwhile
    asked = len(hub.asked)
    hub.heal()
    assert pull(downloads).phase == "done"
    asked_later = " ".join(hub.asked[asked:])
    assert COMMIT in asked_later
    assert "f" * 40 not in asked_later, "one download is of one revision"
    assert hub.count - sent == hub.size - kept
    assert_whole(downloads, hub)


def test_another_program_pauses_and_follows_it(hub: Hub, downloads: Downloads) -> None:
    """The page sees the command's download, and the other way round."""
    hub.fault(ENCODER, pace=1_000_000)
    downloads.start(MODEL)
    other = Downloads(downloads.home, downloads.presets)
    wait_until(lambda: other.tally(MODEL).phase == "fetching", "being seen by the other")
    first = downloads.tally(MODEL).pid
    other.start(MODEL)
    assert other.tally(MODEL).pid == first, "no second process was started"
    other.pause(MODEL)
    assert end(downloads).phase == "paused"
    assert end(other).phase == "paused"
    other.close()


def test_two_at_once_dont_corrupt(hub: Hub, downloads: Downloads) -> None:
    """Both start before either could see the other: one works, the other stands aside."""
    hub.fault(ENCODER, pace=6_000_000)
    other = Downloads(downloads.home, downloads.presets)
    downloads.start(MODEL)
    other.start(MODEL)
    assert end(downloads).phase == end(other).phase == "done"
    other.close()
    assert hub.count == hub.size, "each byte was transferred once"
    assert_whole(downloads, hub)


def test_it_ends_with_the_program_that_started_it(hub: Hub, downloads: Downloads) -> None:
    hub.fault(ENCODER, pace=500_000)
    downloads.start(MODEL)
    wait_until(lambda: downloads.tally(MODEL).phase == "fetching", "the beginning")
    process = downloads._runs[MODEL].process
    assert process.stdin is not None
    process.stdin.close()  # as the system does when the program is killed
    assert process.wait(10) == 0
    with lock_of(downloads.folder(MODEL)).acquire(timeout=1):
        assert downloads.tally(MODEL).phase == "paused"


@pytest.mark.parametrize(
    "fault",
    [
        {"cut": 3_000_000, "times": 2},
        {"status": 503, "times": 2},
        {"status": 429, "times": 1, "headers": {"Retry-After": "0"}},
    ],
    ids=["the connection drops", "the server fails", "too many requests"],
)
def test_what_passes_is_waited_out(
    hub: Hub, downloads: Downloads, here_and_now: Run, fault: dict[str, object]
) -> None:
    hub.fault(ENCODER, **fault)
    assert here_and_now(downloads).phase == "done"
    assert_whole(downloads, hub)
    lost = hub.count - hub.size
    assert 0 <= lost <= 2 * (CHUNK + PIECE), "no more than a chunk was transferred twice"


def test_a_busy_hub_is_asked_again(hub: Hub, downloads: Downloads, here_and_now: Run) -> None:
    hub.fault("/api/models/one", status=429, times=1, headers={"Retry-After": "0"})
    hub.fault("/api/models/two", status=502, times=1)
    assert here_and_now(downloads).phase == "done"


def test_wrong_bytes_are_noticed_and_fetched_again(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    hub.fault("block_1", wrong=9000, times=1)
    assert here_and_now(downloads).phase == "done"
    assert_whole(downloads, hub)
    size = len(hub.repos["one/distilled"]["distill_fp8/block_1.safetensors"])
    assert hub.count == hub.size + size


def test_a_server_that_lies_is_named_and_the_old_file_stays(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    folder = downloads.folder(MODEL)
    old = folder / "distill_fp8/block_1.safetensors"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"an older one")
    hub.fault("block_1", wrong=9000)
    tally = here_and_now(downloads)
    assert tally.phase == "failed"
    assert "block_1.safetensors of one/distilled came with other bytes" in tally.told
    assert "HF_ENDPOINT" in tally.remedy
    assert old.read_bytes() == b"an older one"
    hub.heal()
    assert here_and_now(downloads).phase == "done"
    assert_whole(downloads, hub)


def test_a_flipped_byte_is_found_offline_and_only_that_file_comes_again(
    hub: Hub, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(downloads)
    victim = downloads.folder(MODEL) / "distill_fp8/block_2.safetensors"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    assert downloads.look(MODEL).state == "ready", "its length and its header are right"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    downloads.start(MODEL, "verify")
    tally = end(downloads)
    assert tally.phase == "done"
    assert tally.damaged == (str(victim),)
    seen = downloads.look(MODEL)
    assert (seen.state, seen.damaged) == ("damaged", (victim,))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    before = hub.count
    assert pull(downloads).phase == "done"
    assert hub.count - before == victim.stat().st_size
    assert_whole(downloads, hub)
    downloads.start(MODEL, "verify")
    assert end(downloads).damaged == ()


def test_a_file_that_was_cut_short_is_damage_at_once(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    here_and_now(downloads)
    victim = downloads.folder(MODEL) / "distill_fp8/Wan2.1_VAE.pth"
    victim.write_bytes(victim.read_bytes()[:-1])
    assert downloads.look(MODEL).damaged == (victim,)
    sent = hub.count
    assert here_and_now(downloads).phase == "done"
    assert hub.count - sent == 2_000_004


def test_what_was_copied_here_by_hand_is_hashed_not_fetched(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    folder = downloads.folder(MODEL)
    for path in (f"distill_fp8/{ENCODER}", "distill_fp8/block_0.safetensors"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(hub.repos["one/distilled"][path])
    here_and_now(downloads)
    assert hub.count == hub.size - 6_000_004 - 17_150
    assert_whole(downloads, hub)


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
    tally = pull(downloads)
    assert tally.phase == "failed"
    assert "refused" in tally.told
    assert "HF_TOKEN" in tally.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull(downloads).phase == "done"
    other_origin = [sent for sent in hub.sent if sent.count >= 1000]
    assert other_origin
    assert {sent.authorization for sent in other_origin} == {None}, "the CDN never sees the token"


REFUSALS = {
    "offline": ({"HF_HUB_OFFLINE": "1"}, None, "HF_HUB_OFFLINE is set", "Unset it"),
    "no network": ({"HF_ENDPOINT": "http://127.0.0.1:9"}, None, "can't be reached", "network"),
    "a proxy that isn't": (
        {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "",
         "no_proxy": ""},
        None, "", "HTTPS_PROXY",
    ),
    "a wrong token": ({}, {"status": 401}, "doesn't accept the login", "renew"),
    "forbidden": ({}, {"status": 403}, "refused (403)", "accept its terms"),
    "nowhere": (
        {}, {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}}, "no longer", "newer"
    ),
    "no patience": (
        {}, {"status": 429, "headers": {"Retry-After": "900"}}, "too many requests", "Wait"
    ),
    "a login page": (
        {}, {"status": 200, "body": b"<html>Hotel</html>"}, "isn't the hub's", "log in to"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_a_sentence_with_a_remedy(
    hub: Hub, downloads: Downloads, here_and_now: Run, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    environment, fault, sentence, remedy = REFUSALS[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if fault is not None:
        hub.fault("/api/", method="*", **fault)
    tally = pull(downloads) if environment else here_and_now(downloads)
    assert tally.phase == "failed"
    assert sentence in tally.told
    assert remedy in tally.remedy
    assert "Traceback" not in tally.told
    assert len(tally.told.splitlines()) == 1


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
    tally = here_and_now(Downloads(Home.find(), load_presets()))
    assert tally.phase == "failed"
    for words in ("8.1 MB more", "2.0 GB to spare", "GB are free"):
        assert words in tally.told
    assert "HEADROOM_HOME" in tally.remedy
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
    tally = end(downloads)
    assert tally.phase == "failed"
    assert tally.told.startswith("The disk is full: distill_fp8/")
    assert "Make room" in tally.remedy
    kept, sent = here(downloads), hub.count
    assert kept > 2_000_000, "what was fetched is kept"
    assert downloads.look(MODEL).state == "partial"
    disk("3g")
    hub.heal()
    assert pull(downloads).phase == "done"
    assert hub.count - sent == hub.size - kept
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
        tally = pull(downloads)
        assert tally.phase == "failed"
        assert "read-only" in tally.told
        assert "HEADROOM_HOME" in tally.remedy
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
