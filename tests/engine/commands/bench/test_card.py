"""Commands and page on a scripted RTX 4060 Ti: real pynvml calls into a compiled stand-in."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.home import PROJECT
from tests.conftest import wait_until
from tests.support.nvml import Process, ScriptedGpu, Standin, build
from tests.support.served import LAZY, serve

pytestmark = pytest.mark.starts

MODEL = "wan2.1-t2v-14b-fp8"


@pytest.fixture
def card(tmp_path: Path) -> Standin:
    build(tmp_path)
    return Standin(tmp_path)


def check(card: Standin, height: int, width: int) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            PROJECT / "app.py",
            "check",
            "--model",
            MODEL,
            "--height",
            str(height),
            "--width",
            str(width),
            "--frames",
            "81",
            "--json",
        ],
        env=card.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict


def test_the_baseline_is_open_and_720p_is_locked(card: Standin) -> None:
    open_, locked = check(card, 480, 832), check(card, 720, 1280)
    assert (open_["verdict"], open_["basis"], open_["tokens"]) == ("open", "recipe", 32760)
    assert open_["nearest_open"] is None
    assert open_["predicted_peak_bytes"] < open_["budget_bytes"] < 16380 * 2**20
    assert (locked["verdict"], locked["basis"], locked["tokens"]) == ("locked", "none", 75600)
    # Another card's measurements say that it would fit; this one's haven't.
    assert locked["predicted_peak_bytes"] < locked["budget_bytes"]
    assert locked["nearest_open"] == {"height": 480, "width": 832, "frames": 81}


def test_another_processs_six_gigabytes_make_it_busy_by_name(card: Standin) -> None:
    card.write(used_mib=6_500, processes=[Process(902, "blender", 6_144)])
    verdict = check(card, 480, 832)
    assert verdict["verdict"] == "busy"
    assert "blender 6.0 GB" in verdict["reason"]


def test_memory_that_nobody_owns_up_to_is_no_obstacle_to_an_answer(card: Standin) -> None:
    """WDDM tells no process's share: the verdict stands on what is used in all."""
    card.write(used_mib=6_500, processes=[Process(902, "game.exe", None)])
    assert check(card, 480, 832)["verdict"] == "busy"


def test_a_lost_gpu_opens_nothing(card: Standin) -> None:
    card.write(errors={"memory": 15})
    verdict = check(card, 480, 832)
    assert verdict["verdict"] == "impossible"
    assert "GPU lost" in verdict["reason"]


def test_generate_is_refused_with_3_and_without_its_engine_with_5(card: Standin) -> None:
    for height, width, code in ((720, 1280, 3), (480, 832, 5)):
        done = subprocess.run(
            [
                sys.executable,
                PROJECT / "app.py",
                "generate",
                "x",
                "--model",
                MODEL,
                "--height",
                str(height),
                "--width",
                str(width),
                "--json",
            ],
            env=card.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert json.loads(done.stdout)["error"]


def test_the_doctor_sees_the_card(card: Standin) -> None:
    card.write(used_mib=2_000, processes=[Process(902, "blender", 1_500)])
    done = subprocess.run(
        [sys.executable, PROJECT / "app.py", "doctor", "--json"],
        env=card.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = {line["subject"]: line for line in json.loads(done.stdout)["lines"]}
    assert "RTX 4060 Ti" in lines["GPU"]["meaning"]
    assert "blender 1.5 GB" in lines["GPU memory in use by"]["meaning"]
    assert "832 × 480, 5.1 s: fits" in lines["Model Wan2.1 14B (FP8)"]["meaning"]


def test_the_pages_gauge_follows_the_card_and_survives_its_loss(
    card: Standin, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    served = serve(tmp_path / "serve.log", environment=card.environment(), program=LAZY)
    try:
        assert "RTX 4060 Ti" in str(served.state("gauge-name"))
        card.write(used_mib=9_000, processes=[Process(902, hostile, 6_144)])
        wait_until(lambda: "8.8 GB of 16.0 GB" in str(served.state("gauge-use")), "the new use")
        meter = served.state("meter")
        assert isinstance(meter, dict)
        assert 0.5 < meter["others"] < 0.6
        card.write(errors={"memory": 15})
        wait_until(lambda: "GPU lost" in str(served.state("gauge-problem")), "the loss")
        card.write(used_mib=3_000)
        wait_until(lambda: "2.9 GB of 16.0" in str(served.state("gauge-use")), "the recovery")
        assert served.state("gauge-problem") == ""
    finally:
        served.end(signal.SIGTERM)


def test_the_plan_follows_the_card(card: Standin) -> None:
    def plan(*arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, PROJECT / "app.py", "plan", "--model", MODEL, "--json", *arguments],
            env=card.environment(),
            capture_output=True,
            text=True,
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told | {"code": done.returncode}

    told = plan()
    assert told["plan"]["device"]["value"] == "NVIDIA GeForce RTX 4060 Ti"
    assert "compute capability 8.9" in told["plan"]["device"]["reason"]
    assert told["plan"]["decode"]["value"] == "whole"
    card.write(gpus=[ScriptedGpu(total_mib=8_188)])
    assert plan()["plan"]["decode"]["value"] == "tiled"
    card.write(gpus=[ScriptedGpu(name="RTX 3090", total_mib=24_576, capability=(8, 6))])
    assert plan()["remedy"] == "Choose the INT8 model."
    assert plan()["code"] == 3
    assert check(card, 480, 832)["reason"].startswith("RTX 3090 has compute capability 8.6")


def test_a_limit_makes_a_large_card_a_small_one(
    card: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.write(gpus=[ScriptedGpu(name="NVIDIA H100", total_mib=81_559, used_mib=40_000)])
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", "16")
    verdict = check(card, 480, 832)
    assert (verdict["verdict"], verdict["budget_bytes"]) == ("open", 16 * 2**30)
    assert check(card, 720, 1280)["verdict"] == "locked"
    done = subprocess.run(
        [sys.executable, PROJECT / "app.py", "doctor"],
        env=card.environment(),
        capture_output=True,
        text=True,
    )
    assert "GPU limit: Headroom uses at most 16.0 GB of the GPU's memory." in done.stdout
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", "10")
    assert "limited to 10.0 GB by HEADROOM_VRAM_LIMIT_GIB" in check(card, 480, 832)["reason"]
