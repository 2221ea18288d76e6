"""The doctor on scripted machines: what each finding says, and that it names a way out."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.doctor import doctor, gpu, host
from engine.doctor.doctor import examine
from engine.doctor.gpu import Line, gpu_lines, kept_trials, kernel_lines
from engine.engine import Engine
from engine.guard.duration import from_other_cards, in_minutes
from engine.home import PROJECT, Home
from engine.install.environments import Stamp
from engine.install.installed import SETUP, Difference
from engine.machine.memory import HostSample, MemorySample
from engine.machine.nvml import GpuSample, Holder
from engine.presets import Presets
from tests.support.machines import GIB, LINUX, MIB, RTX_4060_TI, WINDOWS, with_gpu, with_packages
from tests.support.nvml import ScriptedGpu, Standin, build

HOST = HostSample(32 * GIB, 28 * GIB, None, 0, 0, None, None)
CARD = GpuSample(
    index=0,
    uuid="GPU-4060",
    name="RTX 4060 Ti",
    total=16_380 * MIB,
    used=2 * GIB,
    free=14 * GIB,
    utilisation=0,
    temperature=40,
    power=30.0,
    power_limit=165.0,
    pcie_width=8,
    pcie_width_max=8,
    driver="581.57",
    capability=(8, 9),
    display=True,
    holders=(Holder(7, "browser", GIB),),
    cores=4_352,
)


def sample(
    gpu: GpuSample | None = CARD, host: HostSample = HOST, problem: str = ""
) -> MemorySample:
    return MemorySample(0.0, host, gpu, "ok" if gpu else "none", problem)


def by_subject(lines: list[Line]) -> dict[str, Line]:
    return {str(line.subject): line for line in lines}


def looked(gpu: GpuSample, file: Path = Path("none"), **packages: str) -> dict[str, Line]:
    machine = with_packages(with_gpu(LINUX, gpu.name, gpu.capability, 16), **packages)
    return by_subject(gpu_lines(sample(gpu), machine, file))


def test_a_card_that_suits() -> None:
    found = looked(CARD, triton="3.6.0")
    assert found["Driver"].state == "good"
    assert str(found["Compute capability"].meaning) == "8.9: FP8 units available."
    assert str(found["GPU memory in use by"].meaning) == "browser 1.0 GB"
    assert str(found["PCIe link"].meaning).startswith("8 of 8 lanes in use")
    assert "Memory fallback" not in found


@pytest.mark.parametrize(
    ("change", "subject", "state", "remedy"),
    [
        ({"driver": "551.23"}, "Driver", "bad", "Update it"),
        ({"capability": (8, 6)}, "Compute capability", "warn", "Choose the INT8 model."),
        ({"capability": (7, 5)}, "Compute capability", "bad", "the small CPU model runs"),
        ({"capability": None}, "Compute capability", "warn", "Update the driver."),
        ({"pcie_width": 1}, "PCIe link", "warn", "to another slot"),
    ],
)
def test_what_is_wrong_with_a_card_has_its_remedy(
    change: dict[str, Any], subject: str, state: str, remedy: str
) -> None:
    line = looked(replace(CARD, **change))[subject]
    assert line.state == state
    assert remedy in str(line.remedy)


def test_windows_is_told_of_its_fallback_to_ram() -> None:
    (line,) = [
        x for x in gpu_lines(sample(), WINDOWS, Path("none")) if x.subject.id == "doctor.fallback"
    ]
    assert "Prefer No Sysmem Fallback" in str(line.remedy)


# ---- kernels -------------------------------------------------------------------------------


def trials(file: Path, machine: Any, **answers: float) -> Path:
    gpu = machine.gpu
    facts = {**machine.packages, "gpu": gpu.name, "driver": gpu.driver, "shape": "…"}
    file.write_text(json.dumps({json.dumps(facts): answers}))
    return file


def test_an_importable_kernel_is_not_called_a_callable_one(tmp_path: Path) -> None:
    """LightX2V takes sageattention 1.0.6 for version 2, and calls None on an Ada card."""
    machine = with_packages(LINUX, sageattention="1.0.6", triton="3.6.0")
    found = by_subject(kernel_lines(machine, tmp_path / "none"))
    told = str(found["Kernels of sageattention"].meaning)
    assert "would fail on this card; Headroom supplies that name" in told
    assert "not tried yet" in str(found["Kernels of triton"].meaning)
    assert found["Kernels of triton"].state == "note", "nobody knows yet whether it works"
    assert "Not installed" in str(found["Kernels of sgl-kernel"].meaning)
    hopper = with_gpu(machine, "H100", (9, 0), 80)
    assert "not tried yet" in str(kernel_lines(hopper, tmp_path / "none")[0].meaning)


def test_what_the_worker_tried_is_told(tmp_path: Path) -> None:
    machine = with_packages(LINUX, sageattention="1.0.6", triton="3.6.0", sgl_kernel="0.4.4")
    answers = {
        "sage_attn1": 0.9999,
        "sage_attn1 speed": 0.4,
        "fp8-sgl": -2.0,
        "fp8-triton": 0.999,
        "fp8-triton without bias": 0.999,
    }
    file = trials(tmp_path / "kernels.json", machine, **answers)
    found = by_subject(kernel_lines(machine, file))
    assert "sage_attn1 was tried here and works" in str(found["Kernels of sageattention"].meaning)
    assert found["Kernels of sgl-kernel"].state == "warn"
    assert "fp8-sgl was tried here and rejected" in str(found["Kernels of sgl-kernel"].meaning)
    assert found["Kernels of triton"].state == "good"
    newer = with_packages(machine, torch="2.12.0")
    assert kept_trials(newer, file) == {}
    other = replace(machine, gpu=replace(RTX_4060_TI, driver="590.1"))
    assert kept_trials(other, file) == {}
    file.write_text("{")
    assert kept_trials(machine, file) == {}


def test_what_set_up_left_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stamp = Stamp("3.11", "x", "nvidia", "auto", {}, {"sglang-kernel": "no kernel image."})
    monkeypatch.setattr(gpu, "stamp", lambda: stamp)
    found = by_subject(kernel_lines(with_packages(LINUX), tmp_path))
    assert str(found["Kernels of sgl-kernel"].meaning) == "Skipped by set-up: no kernel image."


# ---- the computer around it ----------------------------------------------------------------


def test_ram_is_held_against_the_plans_need() -> None:
    needs = [("Wan2.1 14B (FP8)", 23 * GIB)]
    assert host.ram(sample(), needs).state == "good"
    tight = replace(HOST, available=20 * GIB)
    line = host.ram(sample(host=tight), needs)
    assert line.state == "warn"
    assert "Wan2.1 14B (FP8) needs 23.0 GB" in str(line.meaning)
    assert host.ram(sample(host=replace(HOST, available=GIB)), []).state == "warn"


def test_windows_page_file_is_held_against_it_too() -> None:
    windows = replace(HOST, commit_limit=40 * GIB, committed=30 * GIB)
    needs = [("Wan2.1 14B (FP8)", 23 * GIB)]
    (line,) = host.page_file(sample(host=windows), WINDOWS, needs)
    assert line.state == "warn"
    assert "10.0 GB of the commit limit (40.0 GB) is left; 23.0 GB is needed" in str(line.meaning)
    assert host.page_file(sample(host=windows), WINDOWS, [])[0].state == "good"
    assert host.page_file(sample(host=windows), LINUX, needs) == []


def test_the_disks_speed_counts_where_blocks_are_read_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "write_speed", lambda _: 100e6)
    usage = shutil.disk_usage(tmp_path)._replace(free=61_100_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    space, speed = host.disk(Home(tmp_path), True, 13 * GIB)
    assert space.state == "good"
    assert str(space.meaning).startswith("61.1 GB free")  # as `weights list` and file managers tell
    assert speed.state == "warn"
    assert "Each step reads 14.0 GB: at most 140 s" in str(speed.meaning)
    assert host.disk(Home(tmp_path), False, 0)[1].state == "good"
    monkeypatch.undo()
    assert host.write_speed(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
    assert host.write_speed(tmp_path / "nowhere") == 0


@pytest.mark.starts
def test_a_taken_port_and_a_program_for_sharing(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert "is in use" in str(host.port(number).meaning)
    assert "is free" in str(host.port(number).meaning)
    assert "the first time" in str(host.sharing(LINUX, tmp_path).meaning)
    unreadable = tmp_path / ("x" * 300)  # as /root is to another user
    assert "the first time" in str(host.sharing(LINUX, unreadable).meaning)
    assert host.write_speed(unreadable) == 0
    assert "Defender" in str(host.sharing(WINDOWS, tmp_path).remedy)
    from gradio import tunneling

    file = tmp_path / "gradio/frpc" / Path(tunneling.BINARY_PATH).name
    file.parent.mkdir(parents=True)
    file.touch()
    here = replace(LINUX, architecture="x86_64")
    if sys.platform == "linux" and file.name.startswith("frpc_linux_amd64"):
        assert "is here" in str(host.sharing(here, tmp_path).meaning)


def test_pyav_is_asked_for_the_encoder() -> None:
    assert host.video().state == "good"


@pytest.mark.parametrize(("found", "state"), [("1.0", "warn"), (None, "bad")])
def test_another_version_may_do_and_what_is_missing_cant(
    monkeypatch: pytest.MonkeyPatch, found: str | None, state: str
) -> None:
    wrong = [Difference(f"package{n}", found, "2.0") for n in range(8)]
    monkeypatch.setattr(doctor, "differences", lambda: wrong)
    line = doctor._packages()
    assert line.state == state
    assert f"package0 {found or 'missing'}, 2.0 expected; package1 " in str(line.meaning)
    assert str(line.meaning).endswith(", 2.0 expected; and 2 more.")
    assert str(line.remedy) == f"Run {SETUP}."


# ---- estimates -----------------------------------------------------------------------------


def test_an_estimate_stays_within_a_generation(presets: Presets) -> None:
    fp8 = presets.models["wan2.1-t2v-14b-fp8"]
    found = from_other_cards(fp8, CARD, presets.references)
    assert found is not None
    assert found.seconds == pytest.approx(63 * 16384 / 4352)
    assert "RTX 4090" in str(found.basis)
    assert "4,352 here" in str(found.basis)
    for other in ({"capability": (12, 0)}, {"capability": (8, 6)}, {"cores": None}):
        assert from_other_cards(fp8, replace(CARD, **other), presets.references) is None
    int8 = presets.models["wan2.1-t2v-14b-int8"]
    assert from_other_cards(int8, CARD, presets.references) is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(2, "5 s"), (13.5, "15 s"), (237, "4 min"), (200, "3.5 min"), (1500, "25 min")],
)
def test_an_estimate_pretends_no_precision(seconds: float, told: str) -> None:
    assert str(in_minutes(seconds)) == told


# ---- all of it -----------------------------------------------------------------------------


@pytest.fixture
def on_card(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine on a machine with a 4060 Ti, which can't run BF16, nor INT8 without kernels."""
    found = sample()
    monkeypatch.setattr(engine.plans, "_machine", lambda: LINUX)
    monkeypatch.setattr(engine.guard, "_look", lambda: found)
    monkeypatch.setattr(engine, "look", lambda: found)
    return engine


def test_nothing_is_said_of_models_that_cant_run_here(on_card: Engine) -> None:
    lines = examine(on_card)
    told = " ".join(f"{line.subject} {line.meaning}" for line in lines)
    assert "Wan2.1 14B (FP8)" in told
    assert "BF16" not in told
    assert "INT8" not in told
    assert "Each step reads" not in told, "that is what BF16 would do"
    found = by_subject(lines)
    assert found["Time per clip, Wan2.1 14B (FP8)"].state == "note", "an estimate"


def test_no_tick_for_what_is_neither_good_nor_bad(engine: Engine) -> None:
    found = by_subject(gpu_lines(sample(None), LINUX, Path("none")))
    assert found["GPU"].state == "note", "none is here, and nobody needs one"
    states = {line.state for line in examine(engine)}
    assert "note" in states


def test_every_finding_that_is_not_good_has_a_remedy(engine: Engine) -> None:
    lines = examine(engine)
    assert len({line.subject for line in lines}) == len(lines) > 8
    assert all(line.remedy for line in lines if line.state == "bad")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml")).parent


@pytest.mark.starts
def test_the_command_on_a_machine_with_a_card(library: Path) -> None:
    standin = Standin(library)
    standin.write(driver="581.57", gpus=[ScriptedGpu(pcie_width=2)])
    done = subprocess.run(
        [sys.executable, "app.py", "doctor", "--json"],
        cwd=PROJECT,
        env=standin.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 5), done.stderr
    found = {line["subject"]: line for line in json.loads(done.stdout)["lines"]}
    assert found["Driver"]["state"] == "good"
    assert found["PCIe link"] == {
        "state": "warn",
        "subject": "PCIe link",
        "subject_id": "doctor.link",
        "subject_values": {},
        "meaning": "2 of 8 lanes in use; offload copies the model through them at every step.",
        "meaning_id": "doctor.lanes_of",
        "meaning_values": {"now": 2, "widest": 8},
        "remedy": "If it stays that low under load, move the card to another slot.",
        "remedy_id": "doctor.another_slot",
        "remedy_values": {},
    }
    assert (
        "About 4 min for 832 × 480, 5.1 s, estimated from 63 s"
        in (found["Time per clip, Wan2.1 14B (FP8)"]["meaning"])
    )
    assert {"RAM", "Disk", "Disk speed", "Packages", "Video", "Port", "Sharing"} <= found.keys()
