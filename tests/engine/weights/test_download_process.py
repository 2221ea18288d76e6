"""Downloads by the real huggingface_hub client from a hub on a local port, whatever happens there.

What was transferred is counted by that hub, so "goes on" means bytes and not words.
"""

import os
import signal
from pathlib import Path

import pytest

from engine.home import Home
from engine.presets import load_presets
from engine.text import NOTHING, Text
from engine.weights.download_process import lock_of
from engine.weights.downloads import Downloads
from engine.weights.fetch import CHUNK
from engine.weights.manifest import Manifest
from tests.conftest import wait_until
from tests.support.fetching import ENCODER, MODEL, Run, assert_whole, end, here, part_bytes, pull
from tests.support.hub import COMMIT, PIECE, Hub

pytestmark = pytest.mark.starts


def test_everything_comes_once_and_whole(hub: Hub, downloads: Downloads) -> None:
    assert downloads.look(MODEL).state == "missing"
    progress = pull(downloads)
    assert (progress.phase, progress.percent, progress.told) == ("done", 100, NOTHING)
    assert_whole(downloads, hub)
    assert hub.count == hub.size == progress.fetched
    assert not (downloads.folder(MODEL) / "distill_fp8/README.md").exists(), "not asked for"
    manifest = Manifest.load(downloads.folder(MODEL))
    assert {promise.commit for promise in manifest.promises.values()} == {COMMIT}
    asked = len(hub.asked)
    assert pull(downloads).phase == "done"
    assert hub.count == hub.size, "a second pull transfers nothing"
    assert len(hub.asked) == asked, "and asks nothing"


def test_a_relative_home_means_the_same_folder_to_both_processes(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADROOM_HOME", "here")
    downloads = Downloads(Home.find(), load_presets())
    assert pull(downloads).phase == "done"
    assert (tmp_path / "here/weights/fetched/distill_fp8/block_0.safetensors").is_file()
    assert_whole(downloads, hub)


def test_kill_9_in_the_middle_loses_nothing(hub: Hub, downloads: Downloads) -> None:
    hub.fault(ENCODER, pace=2_000_000)
    downloads.start(MODEL)
    wait_until(lambda: here(downloads) > 3_000_000, "half of it")
    os.kill(downloads.progress(MODEL).pid, signal.SIGKILL)
    progress = end(downloads)
    assert progress.phase == "failed"
    killed = Text("weights.process_ended", how=Text("weights.signal", number=9))
    assert progress.told == killed
    assert str(killed) == "The download process ended unexpectedly (signal 9)."
    kept, requests = here(downloads), len(hub.sent)
    assert downloads.look(MODEL).state == "partial"
    assert downloads.look(MODEL).percent == 100 * kept // hub.size
    parts = part_bytes(downloads)
    assert parts > 500_000
    hub.heal()
    assert pull(downloads).phase == "done"
    assert hub.count_since(requests) == hub.size - kept, "only the missing bytes were transferred"
    resumed = [sent for sent in hub.sent if sent.path.endswith(ENCODER)][-1]
    assert resumed.start == parts, "from where the part file ended"
    assert_whole(downloads, hub)


def test_pause_ends_it_and_resume_goes_on(hub: Hub, downloads: Downloads) -> None:
    hub.fault(ENCODER, pace=2_000_000)
    downloads.start(MODEL)
    wait_until(lambda: downloads.progress(MODEL).done > 3_000_000, "half of it")
    downloads.pause(MODEL)
    progress = downloads.progress(MODEL)
    assert (progress.phase, progress.told) == ("paused", NOTHING)
    assert 30 < progress.percent < 100
    kept, requests = here(downloads), len(hub.sent)
    hub.commits.append("f" * 40)  # main moves on meanwhile
    asked = len(hub.asked)
    hub.heal()
    assert pull(downloads).phase == "done"
    asked_later = " ".join(hub.asked[asked:])
    assert COMMIT in asked_later
    assert "f" * 40 not in asked_later, "one download is of one revision"
    assert hub.count_since(requests) == hub.size - kept
    assert_whole(downloads, hub)


def test_another_program_pauses_and_follows_it(hub: Hub, downloads: Downloads) -> None:
    """The page sees the command's download, and the other way round."""
    hub.fault(ENCODER, pace=1_000_000)
    downloads.start(MODEL)
    other = Downloads(downloads.home, downloads.presets)
    wait_until(lambda: other.progress(MODEL).phase == "fetching", "being seen by the other")
    first = downloads.progress(MODEL).pid
    other.start(MODEL)
    assert other.progress(MODEL).pid == first, "no second process was started"
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
    wait_until(lambda: downloads.progress(MODEL).phase == "fetching", "the beginning")
    process = downloads._runs[MODEL].process
    assert process.stdin is not None
    process.stdin.close()  # as the system does when the program is killed
    assert process.wait(10) == 0
    with lock_of(downloads.folder(MODEL)).acquire(timeout=1):
        assert downloads.progress(MODEL).phase == "paused"


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
    progress = here_and_now(downloads)
    assert progress.phase == "failed"
    assert "block_1.safetensors of one/distilled arrived twice with content other" in str(
        progress.told
    )
    assert "HF_ENDPOINT" in str(progress.remedy)
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
    progress = end(downloads)
    assert progress.phase == "done"
    assert progress.damaged == (str(victim),)
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
