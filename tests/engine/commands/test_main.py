"""The command line as a script calls it: one JSON object on stdout, exit codes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import VERSION
from engine.commands.main import main
from engine.home import PROJECT, Home
from engine.jobs import Jobs, State
from engine.library import mp4
from engine.store import Store
from tests.tools.examples import looks_as_told


def app(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run app.py; returns stdout and stderr."""
    done = subprocess.run(
        [sys.executable, PROJECT / "app.py", *arguments], capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def receipt_of(*arguments: str) -> dict[str, Any]:
    out, _ = app("generate", *arguments, "--json")
    receipt: dict[str, Any] = json.loads(out)
    return receipt


@pytest.mark.long
@pytest.mark.starts
@pytest.mark.model
def test_generate_twice_is_bit_identical_and_another_seed_is_not(tmp_path: Path) -> None:
    size = ("--height", "64", "--width", "64", "--frames", "9")
    one, two, other = (
        receipt_of("a red ball moves left", "--seed", seed, *size) for seed in ("7", "7", "8")
    )
    frames = [mp4.read_frames(Path(r["path"])) for r in (one, two, other)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])
    assert one["frames_sha256"] == two["frames_sha256"] != other["frames_sha256"]
    assert set(one) >= {
        "path",
        "request",
        "seed",
        "model",
        "plan",
        "stages",
        "peaks",
        "device",
        "versions",
    }
    assert set(one["stages"]) == {"load", "encode", "denoise", "decode", "save"}
    assert set(one["peaks"]) == {"encode", "denoise", "decode"}
    assert one["model"] == "wan-tiny"
    listed, _ = app("clips", "--json")
    assert [c["path"] for c in json.loads(listed)["clips"]] == [
        r["path"] for r in (other, two, one)
    ]


@pytest.mark.starts
def test_out_copies_the_clip_and_read_prints_its_receipt(tmp_path: Path) -> None:
    target = tmp_path / "my clip.mp4"
    made = receipt_of("hello", "--model", "scripted", "--out", str(target))
    assert made["path"] == str(target)
    out, err = app("read", str(target), "--json")
    assert json.loads(out) == made
    assert err == ""
    text, _ = app("read", str(target))
    assert "prompt   hello" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate", "x", "--height", "100"], 2, "the nearest is 96"),
        (["generate", ""], 2, "Write a prompt first."),
        (["generate", "x", "--model", "nope"], 2, "no model 'nope'"),
        (["generate", "x", "--out", "clip.gif"], 2, "ends in .mp4"),
        (["generate", "x", "--out", "/no/such/folder/x.mp4"], 2, "no such folder"),
        pytest.param(["read", "missing.mp4"], 2, "doesn't exist", marks=pytest.mark.starts),
        (["serve", "--host", "0.0.0.0"], 2, "--auth"),
        (["serve", "--auth", "nocolon"], 2, "USER:PASS"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(
    arguments: list[str], code: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert words in err
    assert out == ""


def test_with_json_a_refusal_is_one_object_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "x", "--frames", "4", "--json"]) == 2
    assert "the nearest is 5" in json.loads(capfd.readouterr().out)["error"]


def test_a_refused_request_leaves_no_job() -> None:
    main(["generate", "x", "--frames", "4"])
    store = Store(Home.find().database)
    assert Jobs(store).waiting() == []
    store.close()


@pytest.mark.starts
def test_a_failed_job_is_exit_code_4(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = app("generate", "fail=error", "--model", "scripted", "--json", code=4)
    assert "scripted failure" in json.loads(out)["error"]
    assert "scripted failure" in err


def test_a_folder_that_cant_be_written_is_exit_code_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "file" / "x"))
    assert main(["clips"]) == 5


@pytest.mark.starts
def test_ctrl_c_cancels_the_job_and_is_exit_code_130() -> None:
    """The signal goes to the whole group, as a terminal sends it."""
    program = subprocess.Popen(
        [
            sys.executable,
            PROJECT / "app.py",
            "generate",
            "steps=100 step_seconds=0.2",
            "--model",
            "scripted",
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stderr is not None
    for line in program.stderr:
        if "denoise" in line:
            break
    began = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(timeout=15) == 130
    assert time.monotonic() - began < 10
    store = Store(Home.find().database)
    latest = Jobs(store).latest()
    assert latest is not None
    assert latest.state is State.CANCELLED
    store.close()


@pytest.mark.starts
def test_measure_climbs_and_check_tells_the_difference(
    capfd: pytest.CaptureFixture[str],
) -> None:
    size = ("--model", "scripted", "--height", "192", "--width", "192", "--frames", "17", "--json")
    before = json.loads(app("check", *size)[0])
    assert before["verdict"] == "locked"
    assert before["nearest_open"] is not None
    refused, _ = app("generate", "x", *size, code=3)
    assert json.loads(refused)["verdict"] == "locked"
    told, _ = app("measure", *size)
    assert looks_as_told("measure --height 64 --width 64 --frames 9 --json", told)
    measured = json.loads(told)
    assert set(measured) == {
        "height",
        "width",
        "frames",
        "outcome",
        "peaks",
        "budget_bytes",
        "climbed",
    }
    assert measured["outcome"] == "ok"
    assert [c["outcome"] for c in measured["climbed"]] == ["ok"] * len(measured["climbed"])
    assert len(measured["climbed"]) >= 3
    after = json.loads(app("check", *size)[0])
    assert (after["verdict"], after["basis"]) == ("open", "measured")
    assert after["predicted_peak_bytes"] == max(measured["peaks"].values())
    assert after["nearest_open"] is None
    ids = {"remedy_id", "remedy_values"}  # where there is something to do
    assert set(after) == set(before) - ids


@pytest.fixture
def planned(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs ``plan --json`` in this process; returns exit code and object."""

    def run(*arguments: str, model: str = "scripted-fp8") -> tuple[int, dict[str, Any]]:
        code = main(["plan", "--model", model, *arguments, "--json"])
        told: dict[str, Any] = json.loads(capfd.readouterr().out)
        return code, told

    return run


def test_plan_shows_sets_and_resets(
    planned: Callable[..., tuple[int, dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    code, told = planned()
    assert code == 0
    assert set(told) == {"model", "plan", "options", "chosen"}
    assert told["plan"]["decode"]["value"] == "whole"
    assert all(choice["reason"] for choice in told["plan"].values())
    assert told["plan"]["decode"]["reason_id"] == "plan.decode_whole"
    assert told["options"]["attention"][0]["reason_id"] == "plan.sage_on_gpus"
    assert {"value": "tiled", "works": True} == {
        key: told["options"]["decode"][1][key] for key in ("value", "works")
    }
    _, told = planned("--set", "decode=tiled", "rope_chunk=2048")
    assert told["chosen"] == {"decode": "tiled", "rope_chunk": 2048}
    assert planned()[1]["plan"]["rope_chunk"]["value"] == 2048, "it is kept"
    assert main(["plan", "--model", "scripted-fp8"]) == 0
    text = capfd.readouterr().out
    assert "Your choice. Automatic would be whole" in text
    assert "✕ attention=sage_attn2: SageAttention runs on GPUs only." in text
    assert planned("--reset")[1]["chosen"] == {}


@pytest.mark.parametrize(
    ("model", "arguments", "code", "words"),
    [
        ("scripted-fp8", ["--set", "compile=on"], 2, "compile can't be on here"),
        ("scripted-fp8", ["--set", "decode"], 2, "isn't NAME=VALUE"),
        ("scripted-fp8", ["--set", "steps=50"], 2, "no choice named 'steps'"),
        ("wan-tiny", ["--set", "decode=tiled"], 2, "has no choices"),
        ("no-such", [], 2, "There is no model"),
    ],
)
def test_a_plan_that_cant_be_is_refused(
    planned: Callable[..., tuple[int, dict[str, Any]]],
    model: str,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    got, told = planned(*arguments, model=model)
    assert got == code
    assert words in told["error"]
    assert told["remedy"]


@pytest.mark.parametrize("port", ["0", "70000", "-1", "http"])
def test_a_port_that_is_none_is_told(port: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", f"--port={port}"])
    assert ended.value.code == 2
    assert f"{port!r} isn't a port from 1 to 65535" in capfd.readouterr().err


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--auth-file"],
        ["generate", "a ball", "--image"],
        ["generate", "a ball", "--last-image"],
        ["generate", "a ball", "--lora"],
        ["generate", "a ball", "--out"],
        ["read"],
        ["weights", "pull", "--from"],
        ["adapters", "add"],
        ["adapters", "remove"],
        ["bench", "--out"],
    ],
    ids=lambda command: f"{command[0]} {command[-1]}",
)
def test_an_unset_variable_is_no_file(
    command: list[str], empty: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, empty])
    assert ended.value.code == 2
    assert "the name is empty" in capfd.readouterr().err


def test_a_bad_limit_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", "plenty")
    assert main(["clips"]) == 0, "it has nothing to do with memory"
    assert main(["doctor"]) == 2
    assert "HEADROOM_VRAM_LIMIT_GIB='plenty' isn't a number" in capfd.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"Headroom {VERSION}\n"
