"""Plans for scripted machines against reviewed ones, one readable file for each.

After a deliberate change: ``HEADROOM_WRITE_PLANS=1 pytest tests/engine/install/test_plan.py``, then
read the difference.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.install.facts import CardFacts, Facts, nvidia, smi_answer
from engine.install.plan import (
    BF16_CAPABILITY,
    FILES,
    FP8_CAPABILITY,
    GIB,
    LEAST_VRAM,
    MODEL_VRAM,
    RAM_BLOCK,
    RAM_EXACT,
    RAM_LAZY,
    WEIGHTS,
    InstallPlan,
    Wish,
    make_plan,
)
from engine.plan.host_memory import host_need
from engine.plan.kernel_options import BF16_CAPABILITY as PLANS_BF16
from engine.plan.kernel_options import FP8_CAPABILITY as PLANS_FP8
from engine.plan.lightx2v import SYSTEM_RAM
from engine.presets import Presets
from tests.support.computers import LINUX, NO_GPU, WINDOWS, card
from tests.support.nvml import ScriptedGpu, Standin, build

PLANS = Path(__file__).with_name("plans")


MACHINES: Mapping[str, tuple[Facts, Wish]] = {
    "rtx-4060-ti-linux": (LINUX, "auto"),
    "rtx-4060-ti-windows": (WINDOWS, "auto"),
    "rtx-4060-ti-16-gb-ram": (replace(LINUX, ram=round(15.5 * GIB)), "auto"),
    "rtx-4060-ti-64-gb-ram": (replace(LINUX, ram=round(62.7 * GIB)), "auto"),
    "rtx-4060-ti-8-gb-ram": (replace(LINUX, ram=round(7.7 * GIB)), "auto"),
    "rtx-4060-ti-no-compiler": (replace(LINUX, compiler=False), "auto"),
    "rtx-4060-ti-old-driver": (replace(LINUX, driver="572.83"), "auto"),
    "rtx-4060-ti-asked-for-cpu": (LINUX, "cpu"),
    "rtx-4060-ti-arm": (replace(LINUX, architecture="aarch64"), "auto"),
    "rtx-3050-8-gb": (replace(WINDOWS, cards=card("RTX 3050", (8, 6), 8.0)), "auto"),
    "rtx-3050-4-gb": (replace(WINDOWS, cards=card("RTX 3050 Laptop", (8, 6), 4.0)), "auto"),
    "rtx-5090": (replace(LINUX, cards=card("RTX 5090", (12, 0), 31.8)), "auto"),
    "gtx-1650": (replace(WINDOWS, cards=card("GTX 1650", (7, 5), 4.0)), "auto"),
    "gtx-1650-asked-for-gpu": (replace(WINDOWS, cards=card("GTX 1650", (7, 5), 4.0)), "gpu"),
    "old-and-new-card": (
        replace(LINUX, cards=card("GTX 1080 Ti", (6, 1), 11) + card("RTX 4060", (8, 9), 8)),
        "auto",
    ),
    "card-that-tells-nothing": (replace(LINUX, cards=card("GPU", None, 16.0)), "auto"),
    "no-gpu-linux": (NO_GPU, "auto"),
    "no-gpu-windows": (replace(NO_GPU, system="windows"), "auto"),
    "mac": (replace(NO_GPU, system="macos", architecture="aarch64"), "auto"),
    "mac-asked-for-gpu": (replace(NO_GPU, system="macos", architecture="aarch64"), "gpu"),
    "disk-full": (replace(NO_GPU, free=GIB), "auto"),
    "disk-for-cpu-only": (replace(LINUX, free=9 * GIB), "auto"),
    "disk-without-room-for-weights": (replace(LINUX, free=25 * GIB), "auto"),
    "python-too-old": (replace(LINUX, python=(3, 10, 12)), "auto"),
    "python-too-new": (replace(LINUX, python=(3, 14, 0)), "auto"),
}


def told(plan: InstallPlan) -> str:
    """A plan as a reviewer reads it."""
    lines = [f"installs {', '.join(plan.files)}"]
    if plan.problem:
        lines = [f"installs nothing: {plan.problem} {plan.remedy}"]
    for decision in plan.decisions:
        lines.append(f"{decision.name}: {decision.value}. {decision.reason}")
        if decision.remedy:
            lines.append(f"    {decision.remedy}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_plan_is_the_reviewed_one(machine: str) -> None:
    file = PLANS / f"{machine}.txt"
    text = told(make_plan(*MACHINES[machine]))
    if os.environ.get("HEADROOM_WRITE_PLANS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_every_reviewed_plan_has_its_machine() -> None:
    assert {file.stem for file in PLANS.iterdir()} == set(MACHINES)


@pytest.mark.parametrize("name", ["RTX 5090", "GTX 1650", "RTX 3050", "A5000", "Quadro", ""])
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_a_name_decides_nothing(name: str, system: str) -> None:
    """Peers' installers look for a "50" in it, and so an RTX 3050 gets an RTX 50's packages."""
    for capability in ((7, 5), (8, 6), (8, 9), (12, 0)):
        facts = replace(LINUX, system=system, cards=card(name, capability, 16.0))
        plan = make_plan(facts)
        plain = make_plan(replace(facts, cards=card("x", capability, 16.0)))
        assert (plan.lock, plan.files, plan.optional) == (plain.lock, plain.files, plain.optional)
        assert plan.target == ("nvidia" if capability >= (8, 0) else "cpu")


def test_its_figures_are_the_engines(presets: Presets) -> None:
    """Set-up can import neither the presets nor what reads them; here both are."""
    assert (BF16_CAPABILITY, FP8_CAPABILITY) == (PLANS_BF16, PLANS_FP8)
    for model in ("wan2.1-t2v-14b-fp8", "wan2.1-t2v-14b-int8"):
        preset = presets.models[model]
        for need, way in ((RAM_BLOCK, "block"), (RAM_EXACT, "block-exact"), (RAM_LAZY, "lazy")):
            exact = (host_need(preset, way) + SYSTEM_RAM) / GIB
            assert need / GIB == pytest.approx(exact, abs=0.006)
        assert preset.memory.minimum_gib * GIB == MODEL_VRAM
        assert sum(file.bytes for file in preset.weights) / 1e9 == pytest.approx(WEIGHTS, abs=0.05)
    peaks = [p.peak_gib for r in presets.references for p in r.points]
    assert min(peaks) * GIB == pytest.approx(LEAST_VRAM, abs=0.05 * GIB)


def test_each_target_names_files_that_exist() -> None:
    for files in FILES.values():
        assert all((PROJECT / file).is_file() for file in files)


# ---- what the facts come from --------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml")).parent


def dry_run(environment: Mapping[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-S", "engine/install", "setup", "--dry-run"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: dict[str, object] = json.loads(done.stdout)
    return loaded


@pytest.mark.starts
def test_a_dry_run_asks_the_driver_through_nvml(library: Path) -> None:
    standin = Standin(library)
    standin.write(driver="581.57", gpus=[ScriptedGpu(capability=(8, 9), total_mib=16_380)])
    told = dry_run(standin.environment())
    facts, plan = told["facts"], told["plan"]
    assert isinstance(facts, dict)
    assert isinstance(plan, dict)
    assert facts["driver"] == "581.57"
    assert facts["cards"] == [
        {
            "name": "NVIDIA GeForce RTX 4060 Ti",
            "capability": [8, 9],
            "memory": 16_380 * 2**20,
        }
    ]
    assert plan["files"] == list(FILES[plan["target"]])
    assert all(choice["reason"] for choice in plan["decisions"])
    standin.write(driver="551.23")
    plan = dry_run(standin.environment())["plan"]
    assert isinstance(plan, dict)
    assert plan["lock"] == "cpu"
    assert "551.23" in plan["decisions"][0]["reason"]


@pytest.mark.starts
def test_nvidia_smi_is_asked_where_nvml_fails(library: Path, tmp_path: Path) -> None:
    standin = Standin(library)
    standin.write(errors={"init": 9})
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '580.95.05, NVIDIA GeForce RTX 3060, 12288, 8.6'\n")
    smi.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    facts = dry_run(standin.environment(PATH=path))["facts"]
    assert isinstance(facts, dict)
    assert facts["driver"] == "580.95.05"
    assert facts["cards"][0]["capability"] == [8, 6]
    facts = dry_run(standin.environment())["facts"]
    assert isinstance(facts, dict)
    assert facts["silence"] == "NVIDIA's driver doesn't respond (NVML error 9)."


def test_answers_of_nvidia_smi_are_read_or_refused() -> None:
    assert smi_answer(["581.57, RTX, 16380, 8.9", "noise"]) == (
        "581.57",
        (CardFacts("RTX", (8, 9), 16_380 * 2**20),),
        "",
    )
    assert smi_answer(["470.1, Quadro, [N/A], [N/A]"]) == (
        "470.1",
        (CardFacts("Quadro", None, 0),),
        "",
    )
    assert smi_answer(["NVIDIA-SMI has failed"]) is None


@pytest.mark.starts
def test_this_machine_is_told_without_a_fault() -> None:
    driver, cards, silence = nvidia()
    assert bool(cards) != bool(silence)
    assert bool(driver) or not cards
