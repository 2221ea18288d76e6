"""``lanes`` and ``--lane``, on machines that a stand-in of the driver writes."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.commands.main import main
from engine.errors import ExitCode
from engine.home import PROJECT
from tests.support.nvml import ScriptedGpu, Standin, build

SMALL = ScriptedGpu(uuid="GPU-4060f11e-0000-4000-8000-000000000000")
LARGE = ScriptedGpu(
    "NVIDIA GeForce RTX 4090", "GPU-4090f11e-0000-4000-8000-000000000000", 24_564, mig=False
)
SLICED = ScriptedGpu("NVIDIA A100", "GPU-a100f11e-0000-4000-8000-000000000000", 40_960, mig=True)
SILENT = ScriptedGpu("NVIDIA GB10", "GPU-6b10f11e-0000-4000-8000-000000000000", 0, 0)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    build(folder)
    return folder


def said(
    library: Path, gpus: Sequence[ScriptedGpu], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    machine = Standin(library)
    machine.write(gpus=gpus)
    return subprocess.run(
        [sys.executable, str(PROJECT / "app.py"), *arguments],
        env=machine.environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.starts
def test_a_card_in_slices_and_one_that_tells_nothing_are_named_not_guessed(library: Path) -> None:
    done = said(library, [SLICED, SMALL, SILENT, LARGE], "lanes", "--json")
    told = json.loads(done.stdout)
    assert [row["name"] for row in told["lanes"]] == ["gpu3", "gpu1"]
    assert told["lanes"][0]["total_bytes"] == 24_564 * 2**20
    assert told["lanes"][0]["state"] == "off"
    sliced, silent = told["left_out"]
    assert sliced.startswith("GPU 0 (NVIDIA A100) is divided into slices (MIG)")
    assert "nvidia-smi -i 0 -mig 0" in sliced
    assert silent == "GPU 2 (NVIDIA GB10) doesn't report its memory, so it is left out."
    lines = json.loads(said(library, [SLICED, SMALL, LARGE], "doctor", "--json").stdout)["lines"]
    cards = [line for line in lines if line["subject"] == "Cards"]
    assert [line["state"] for line in cards] == ["good", "warn"]
    assert cards[0]["meaning"] == "Clips are made on GPU 2 (RTX 4090), GPU 1 (RTX 4060 Ti)."


@pytest.mark.starts
def test_a_machine_of_slices_alone_has_no_gpu(library: Path) -> None:
    done = said(library, [SLICED], "lanes")
    assert "local" in done.stdout
    assert "is divided into slices (MIG)" in done.stdout
    checked = said(
        library,
        [SLICED],
        *"check --model wan2.1-t2v-14b-fp8 --height 480 --width 832 --frames 81 --json".split(),
    )
    verdict = json.loads(checked.stdout)
    assert verdict["verdict"] == "impossible"
    assert "divided into slices" in verdict["reason"]


@pytest.mark.starts
def test_which_cards_are_listed_can_be_said(library: Path) -> None:
    done = said(library, [SMALL, LARGE], "lanes", "--json", HEADROOM_GPU="0,1")
    assert [row["name"] for row in json.loads(done.stdout)["lanes"]] == ["gpu0", "gpu1"]
    done = said(library, [SMALL, LARGE], "lanes", "--json", HEADROOM_GPU="0,5")
    told = json.loads(done.stdout)
    assert [row["device"] for row in told["lanes"]] == ["NVIDIA GeForce RTX 4060 Ti"]
    assert "HEADROOM_GPU lists 5" in told["left_out"][0]


def test_one_lane_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lanes", "--json"]) == ExitCode.DONE
    (row,) = json.loads(capsys.readouterr().out)["lanes"]
    assert (row["name"], row["state"]) == ("local", "off")
    assert row["models"]["wan-tiny"] == "ready"
    assert row["models"]["wan2.1-t2v-14b-fp8"] == "missing"
    assert row["seconds"]["wan-tiny"] is None
    assert 0 < row["free_bytes"] < row["total_bytes"]
    assert main(["lanes"]) == ExitCode.DONE
    assert "wan-tiny: not timed yet" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["generate x", "check", "measure"])
def test_a_lane_that_is_not_here_is_bad_input(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = "--height 128 --width 128 --frames 17 --model wan-tiny --json --lane gpu7"
    assert main([*command.split(), *size.split()]) == ExitCode.BAD_INPUT
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == "There is no lane named gpu7 on this machine."
    assert told["remedy"] == "Name one of these: local."


@pytest.mark.parametrize("text", ["0", "17", "-1", "two", "1.5", "९"])
def test_a_number_of_lanes_that_is_none_leaves_one(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADROOM_CPU_LANES", text)
    assert main(["lanes", "--json"]) == ExitCode.DONE
    assert len(json.loads(capsys.readouterr().out)["lanes"]) == 1


def test_lanes_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADROOM_CPU_LANES", "2")
    assert main(["lanes", "--json"]) == ExitCode.DONE
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["lanes"]] == ["cpu1", "cpu2"]
