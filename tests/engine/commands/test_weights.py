"""`weights list|pull|verify` as a script calls them: one JSON object, exit codes, Ctrl-C."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.commands.main import main
from engine.home import PROJECT, Home
from tests.conftest import wait_until
from tests.support.hub import Hub
from tests.support.tensorfiles import write_blocks, write_others

pytestmark = pytest.mark.starts

MODEL = "fetched"
ENCODER = "models_t5_umt5-xxl-enc-fp8.pth"
Capture = pytest.CaptureFixture[str]


def weights(capture: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What ``weights … --json`` prints."""
    capture.readouterr()
    assert main(["weights", *arguments, "--json"]) == code
    told: dict[str, Any] = json.loads(capture.readouterr().out)
    return told


def listed(capture: Capture, model: str = MODEL) -> dict[str, Any]:
    entry: dict[str, Any] = weights(capture, "list", "--model", model)["models"][0]
    return entry


def test_list_pull_list_verify(hub: Hub, capsys: Capture) -> None:
    before = listed(capsys)
    assert before["state"] == "missing"
    assert before["bytes_missing"] == before["bytes_total"]
    assert before["bytes_needed"] == before["bytes_missing"] + 2 * 10**9
    assert before["fits"] is (before["bytes_free"] >= before["bytes_needed"])
    assert before["verdict"] == "open"
    assert before["reason_id"].startswith("guard.open_")
    assert before["problem"] is None
    pulled = weights(capsys, "pull", "--model", MODEL)
    assert pulled["state"] == "ready"
    assert pulled["bytes_fetched"] == hub.size
    after = listed(capsys)
    assert (after["state"], after["percent"], after["bytes_missing"]) == ("ready", 100, 0)
    assert [part["state"] for part in after["parts"]] == ["ready"] * 4
    assert all(Path(part["place"]).exists() for part in after["parts"])
    verified = weights(capsys, "verify")
    assert verified["ok"] is True
    assert [(m["model"], m["files"], m["damaged"]) for m in verified["models"]] == [(MODEL, 8, [])]
    assert verified["models"][0]["said_id"] == "weights.as_promised"
    assert main(["weights", "verify"]) == 0
    assert capsys.readouterr().out == "fetched: every file matches what the hub promised\n"


def test_list_tells_every_model_and_what_this_machine_can_do(capsys: Capture) -> None:
    models = {entry["model"]: entry for entry in weights(capsys, "list")["models"]}
    assert models["wan-tiny"]["state"] == "ready"
    big = models["wan2.1-t2v-14b-fp8"]
    assert (big["state"], big["bytes_total"]) == ("missing", 22_258_000_000)
    assert big["verdict"] in ("impossible", "open", "locked", "busy")
    assert big["reason"]
    assert main(["weights", "list"]) == 0
    text = capsys.readouterr().out
    assert "wan-tiny: comes with Headroom" in text
    assert "a download needs 24.3 GB on the drive" in text


def test_verify_names_the_damage_and_says_what_mends_it(hub: Hub, capsys: Capture) -> None:
    weights(capsys, "pull", "--model", MODEL)
    file = Home.find().weights / MODEL / "distill_fp8/Wan2.1_VAE.pth"
    data = bytearray(file.read_bytes())
    data[1_000_000] ^= 1
    file.write_bytes(data)
    assert main(["weights", "verify", "--model", MODEL, "--json"]) == 5
    out, err = capsys.readouterr()
    assert json.loads(out)["models"][0]["damaged"] == [str(file)]
    assert "weights pull --model fetched" in err
    assert listed(capsys)["damaged"] == [str(file)]
    before = hub.count
    assert weights(capsys, "pull", "--model", MODEL)["bytes_fetched"] == file.stat().st_size
    assert hub.count - before == file.stat().st_size


def test_ctrl_c_keeps_everything_and_the_same_command_goes_on(hub: Hub, capsys: Capture) -> None:
    hub.fault(ENCODER, pace=1_500_000)
    command = [sys.executable, str(PROJECT / "app.py"), "weights", "pull", "--model", MODEL]
    process = subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: hub.count > 3_500_000, "some bytes")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert out == ""
    assert "Paused. What was downloaded is kept" in err
    assert "% of" in err or "MB/s" in err
    assert "Traceback" not in err
    entry = listed(capsys)
    assert entry["state"] == "partial"
    assert entry["working"] is None
    hub.heal()
    assert weights(capsys, "pull", "--model", MODEL)["bytes_fetched"] == entry["bytes_missing"]


def test_a_second_pull_follows_the_first(hub: Hub, capsys: Capture) -> None:
    hub.fault(ENCODER, pace=3_000_000)
    command = [sys.executable, str(PROJECT / "app.py"), "weights", "pull", "--model", MODEL]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: hub.count > 2_000_000, "some bytes")
    assert main(["weights", "pull", "--model", MODEL, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == "ready"
    assert "Another Headroom is already doing this" in err
    assert first.wait(10) == 0
    assert hub.count == hub.size


def test_a_folder_that_is_whole_needs_no_network(
    hub: Hub, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "weights of theirs"
    write_blocks(theirs / "distill_fp8", "fp8")
    write_others(theirs / "distill_fp8", "fp8")
    (theirs / "distill_fp8/google").rename(theirs / "google")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pulled = weights(capsys, "pull", "--model", MODEL, "--from", str(theirs))
    assert pulled["state"] == "ready"
    assert pulled["linked"] == [str(theirs)]
    assert pulled["bytes_fetched"] == hub.count == 0
    verified = weights(capsys, "verify", "--model", MODEL)
    assert verified["ok"] is True
    assert len(verified["models"][0]["unknown"]) == 4, "nobody promised anything about these"
    assert "no checksum is known" in verified["models"][0]["said"]


def test_programs_are_told_what_is_wrong_by_its_id(
    hub: Hub, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_blocks(theirs / "distill_fp8", "fp8")
    write_others(theirs / "distill_fp8", "fp8")
    (theirs / "distill_fp8/google").rename(theirs / "google")
    weights(capsys, "pull", "--model", MODEL, "--from", str(theirs))
    block = theirs / "distill_fp8/block_1.safetensors"
    block.write_bytes(b"<html>Please log in")
    entry = listed(capsys)
    assert entry["problem"].startswith(f"{block} isn't a safetensors file but a web page")
    assert entry["problem_id"] == "weights.something_else"
    assert entry["problem_values"] == {
        "file": str(block),
        "kind": {"id": "weights.kind_web_page", "values": {}},
    }
    told = weights(capsys, "verify", "--from", "x", code=2)
    assert told["error_id"] == "weights.from_is_for_pull"
    assert told["remedy_id"] == "weights.leave_it_out"


def test_what_a_folder_lacks_is_fetched_beside_it(
    hub: Hub, capsys: Capture, tmp_path: Path
) -> None:
    """A block is missing and another one is damaged: the good ones are used where they lie."""
    theirs = tmp_path / "theirs" / "distill_fp8"
    for path, data in hub.repos["one/distilled"].items():
        file = theirs / Path(path).name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (theirs / "block_0.safetensors").unlink()
    (theirs / "block_1.safetensors").write_bytes(b"short")
    before = {file: file.read_bytes() for file in theirs.iterdir()}
    weights(capsys, "pull", "--model", MODEL, "--from", str(theirs.parent))
    assert hub.count == 2 * 17_150 + 15, "two blocks and the tokenizer"
    assert {file: file.read_bytes() for file in theirs.iterdir()} == before
    own = Home.find().weights / MODEL / "distill_fp8"
    assert (own / "block_2.safetensors").samefile(theirs / "block_2.safetensors")
    assert not (own / ENCODER).exists(), "it is used where it lies"
    assert listed(capsys)["state"] == "ready"


def test_a_begun_download_gives_way_to_a_folder_in_the_other_layout(
    hub: Hub, capsys: Capture, tmp_path: Path
) -> None:
    weights(capsys, "pull", "--model", MODEL)
    own = Home.find().weights / MODEL / "distill_fp8"
    (own / "block_1.safetensors").unlink()
    assert listed(capsys)["state"] == "partial"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    single = hub.repos["two/models"]["wan_fp8.safetensors"]
    (theirs / "wan_fp8.safetensors").write_bytes(single)
    before = hub.count
    weights(capsys, "pull", "--model", MODEL, "--from", str(theirs))
    assert hub.count == before
    entry = listed(capsys)
    assert (entry["state"], entry["parts"][0]["repo"]) == ("ready", "two/models")


def test_another_revision_that_somebody_has_is_used_and_not_fetched_over(
    hub: Hub, capsys: Capture, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs" / "distill_fp8"
    write_blocks(theirs, "fp8")
    for file in theirs.iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    weights(capsys, "pull", "--model", MODEL, "--from", str(theirs))
    assert hub.count == 6_000_004 + 2_000_004 + 15, "everything but the transformer"
    assert listed(capsys)["state"] == "ready"
    verified = weights(capsys, "verify", "--model", MODEL)
    assert verified["models"][0]["unknown"] == [str(theirs)]
    assert verified["models"][0]["damaged"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pull", "--model", "nope"], 2, "no such model"),
        (["list", "--model", "nope"], 2, "no such model"),
        (["pull", "--model", "wan-tiny"], 2, "come with Headroom"),
        (["verify", "--from", "x"], 2, "--from works with"),
        (["pull", "--model", MODEL, "--from", "/nowhere at all"], 5, "doesn't exist"),
        (["verify", "--model", MODEL], 5, "missing"),
    ],
)
def test_mistakes_are_told(
    hub: Hub, capsys: Capture, arguments: list[str], code: int, words: str
) -> None:
    told = weights(capsys, *arguments, code=code)
    assert words in json.dumps(told)


def test_an_unreachable_hub_is_set_up_missing(
    hub: Hub, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    told = weights(capsys, "pull", "--model", MODEL, code=5)
    assert "can't be reached" in told["error"]
    assert told["error_id"] == "weights.unreachable"
    assert told["error_values"]["what"]["values"]["repo"] == "one/distilled"
    assert "HTTPS_PROXY" in told["remedy"]


def test_an_unknown_action_is_bad_input() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["weights", "delete"])
    assert caught.value.code == 2


def test_pull_without_a_model_takes_what_suits_the_machine(hub: Hub, capsys: Capture) -> None:
    assert weights(capsys, "pull")["model"] == MODEL, "the only one that runs without a GPU"
