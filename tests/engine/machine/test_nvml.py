"""The meter against a scripted NVIDIA driver: a compiled library and real ctypes calls."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.machine.cards import LONGEST_NAME, printable
from tests.support.nvml import Process, ScriptedGpu, Standin, build

pytestmark = pytest.mark.starts

MIB = 2**20
PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml")).parent


@pytest.fixture
def standin(library: Path) -> Standin:
    return Standin(library)


class Probe:
    """A program that measures under the stand-in, sample by sample."""

    def __init__(self, environment: dict[str, str], retry: float) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nvml.probe", str(retry)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def sample(self, worker_pid: int | None = None) -> dict[str, Any]:
        return self._answer(f"{worker_pid or ''}")

    def sample_anew(self) -> dict[str, Any]:
        """By another meter, which asks for everything again."""
        return self._answer("anew")

    def _answer(self, line: str) -> dict[str, Any]:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def close(self) -> int:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.close()
        self._child.stdout.close()
        return self._child.wait(timeout=30)


StartProbe = Callable[..., Probe]


@pytest.fixture
def probe(standin: Standin) -> Iterator[StartProbe]:
    """Starts a Probe; keywords are environment variables, ``retry`` seconds between tries."""
    running: list[Probe] = []

    def start(retry: float = 0.0, **environment: str) -> Probe:
        running.append(Probe(standin.environment(**environment), retry))
        return running[-1]

    yield start
    assert [one.close() for one in running] == [0] * len(running)


@pytest.fixture(scope="module")
def long_probe(library: Path) -> Iterator[Probe]:
    """One program for many samples that have nothing to do with each other."""
    running = Probe(Standin(library).environment(), 0.0)
    yield running
    assert running.close() == 0


# ---- one GPU -------------------------------------------------------------------------------


def test_a_reading_has_what_the_driver_tells(standin: Standin, probe: StartProbe) -> None:
    sample = probe().sample(os.getpid())
    assert (sample["state"], sample["problem"]) == ("ok", "")
    assert sample["gpu"] == {
        "index": 0,
        "uuid": "GPU-4060f11e-0000-4000-8000-000000000000",
        "name": "NVIDIA GeForce RTX 4060 Ti",
        "total": 16_380 * MIB,
        "used": 1_200 * MIB,
        "free": 15_180 * MIB,
        "utilisation": 3,
        "temperature": 41,
        "power": 32.5,
        "power_limit": 165.0,
        "pcie_width": 8,
        "pcie_width_max": 8,
        "driver": "581.57",
        "capability": [8, 9],
        "display": True,
        "holders": [],
        "cores": 4_352,
    }
    assert sample["host"]["worker"] > MIB


def test_a_card_that_tells_no_memory_is_none(standin: Standin, probe: StartProbe) -> None:
    """As one that shares the computer's; every size would "need 0 MB" of it."""
    standin.write(gpus=[ScriptedGpu(total_mib=0, used_mib=0)])
    sample = probe().sample()
    assert sample["gpu"] is None
    assert "memory" in sample["problem"]


def test_used_memory_is_followed(standin: Standin, probe: StartProbe) -> None:
    meter = probe()
    for used in (300, 12_000, 16_380, 1_200):
        standin.write(used_mib=used)
        gpu = meter.sample()["gpu"]
        assert gpu["used"] == used * MIB
        assert gpu["used"] + gpu["free"] == gpu["total"]


def test_who_holds_memory_is_named_the_largest_first(standin: Standin, probe: StartProbe) -> None:
    meter = probe()
    standin.write(
        used_mib=7_400,
        processes=[
            Process(901, "Xorg", 300, graphics=True),
            Process(902, "/opt/blender 4/blender", 6_144),
            Process(902, "/opt/blender 4/blender", 6_144, graphics=True),
            Process(903, "python", 700),
        ],
    )
    assert meter.sample()["gpu"]["holders"] == [
        {"pid": 902, "name": "/opt/blender 4/blender", "used": 6_144 * MIB},
        {"pid": 903, "name": "python", "used": 700 * MIB},
        {"pid": 901, "name": "Xorg", "used": 300 * MIB},
    ]
    standin.write(used_mib=500)
    assert meter.sample()["gpu"]["holders"] == []


def test_a_name_that_nvml_does_not_know_comes_from_the_system(
    standin: Standin, probe: StartProbe
) -> None:
    standin.write(processes=[Process(os.getpid(), "", 500), Process(2**22 + 1, "", 400)])
    mine, gone = probe().sample()["gpu"]["holders"]
    assert "py" in mine["name"]  # pytest or python
    assert gone["name"] == f"process {2**22 + 1}"


def test_memory_per_process_that_is_not_told_is_none(standin: Standin, probe: StartProbe) -> None:
    """Windows' WDDM tells which processes use the GPU, and never how much of it."""
    held = [Process(901, "chrome.exe", None, graphics=True), Process(902, "game.exe", 400)]
    standin.write(used_mib=3_000, processes=held)
    gpu = probe().sample()["gpu"]
    assert gpu["holders"] == [
        {"pid": 902, "name": "game.exe", "used": 400 * MIB},
        {"pid": 901, "name": "chrome.exe", "used": None},
    ]
    assert gpu["used"] == 3_000 * MIB


@pytest.mark.parametrize("code", [3, 4, 13, 999])  # not supported, no permission, not found, ?
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("power", {"power": None}),
        ("power_limit", {"power_limit": None}),
        ("utilisation", {"utilisation": None}),
        ("temperature", {"temperature": None}),
        ("pcie_width", {"pcie_width": None}),
        ("pcie_width_max", {"pcie_width_max": None}),
        ("capability", {"capability": None}),
        ("display", {"display": None}),
        ("driver", {"driver": ""}),
        ("name", {"name": "NVIDIA GPU"}),
        ("processes", {"holders": []}),
        ("process_name", {"holders": [{"pid": 2**22 + 1, "name": f"process {2**22 + 1}"}]}),
    ],
)
def test_what_is_not_supported_is_none_and_the_rest_stands(
    standin: Standin, long_probe: Probe, query: str, fields: dict[str, Any], code: int
) -> None:
    standin.write(processes=[Process(2**22 + 1, "x", 500)])
    expected = long_probe.sample_anew()["gpu"]
    standin.write(processes=[Process(2**22 + 1, "x", 500)], errors={query: code})
    sample = long_probe.sample_anew()
    if query == "process_name":
        fields = {"holders": [fields["holders"][0] | {"used": 500 * MIB}]}
    assert sample["gpu"] == expected | fields
    assert (sample["state"], sample["problem"]) == ("ok", "")


def test_hostile_names_lose_their_control_characters_only(
    standin: Standin, probe: StartProbe
) -> None:
    evil = "<script>alert('x')</script>\x1b[31m\n\u202eexe.txt"
    gpu = ScriptedGpu(
        name=b"RTX <b>\x00\xff", processes=[Process(901, evil, 5), Process(902, b"\xff\xfe\x07", 4)]
    )
    standin.write(gpus=[gpu])
    read = probe().sample()["gpu"]
    assert [holder["name"] for holder in read["holders"]] == [
        "<script>alert('x')</script>[31mexe.txt",
        "\ufffd\ufffd",
    ]
    assert read["name"] == "RTX <b>"


@given(st.text() | st.binary() | st.none())
def test_a_name_is_always_one_short_printable_line(name: str | bytes | None) -> None:
    shown = printable(name)
    assert shown.isprintable()
    assert len(shown) <= LONGEST_NAME


# ---- lost and found ------------------------------------------------------------------------


def test_a_lost_gpu_is_reported_and_found_again(standin: Standin, probe: StartProbe) -> None:
    meter = probe()
    assert meter.sample()["state"] == "ok"
    standin.write(errors={"memory": 15})
    for _ in range(3):
        sample = meter.sample(os.getpid())
        assert (sample["state"], sample["gpu"]) == ("lost", None)
        assert sample["problem"].startswith("GPU lost: NVIDIA GeForce RTX 4060 Ti")
        assert "(NVML error 15: GPU is lost)" in sample["problem"]
        assert sample["host"]["worker"] > MIB
    standin.write(used_mib=900)
    sample = meter.sample()
    assert (sample["state"], sample["problem"]) == ("ok", "")
    assert sample["gpu"]["used"] == 900 * MIB


@pytest.mark.parametrize("query", ["count", "handle", "temperature", "processes"])
def test_error_15_counts_wherever_it_comes(standin: Standin, probe: StartProbe, query: str) -> None:
    meter = probe()
    meter.sample()
    standin.write(errors={query: 15, "memory": 15 if query == "handle" else 0})
    state = meter.sample()["state"]
    assert state == ("ok" if query == "count" else "lost")  # only a new NVML counts again
    standin.write()
    assert meter.sample()["state"] == "ok"


def test_a_reloaded_driver_costs_no_sample(standin: Standin, probe: StartProbe) -> None:
    meter = probe()
    assert meter.sample()["gpu"]["driver"] == "581.57"
    standin.write(generation=1, driver="590.01")
    sample = meter.sample()
    assert (sample["state"], sample["gpu"]["driver"]) == ("ok", "590.01")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "driver isn't running (NVML error 9)"),
        (12, "No NVIDIA driver is installed"),
        (16, "needs a reset (NVML error 16)"),
        (18, "driver was updated while the old one still runs (NVML error 18)"),
        (999, "doesn't respond (NVML error 999"),
    ],
)
def test_a_driver_that_goes_away_is_lost_until_it_is_back(
    standin: Standin, probe: StartProbe, code: int, words: str
) -> None:
    meter = probe()
    meter.sample()
    standin.write(generation=1, errors={"init": code})
    sample = meter.sample()
    assert sample["state"] == "lost"
    assert sample["problem"].startswith("GPU lost: ")
    assert words in sample["problem"]
    standin.write(generation=1)
    assert meter.sample()["state"] == "ok"


def test_the_same_gpu_is_found_again_under_another_number(
    standin: Standin, probe: StartProbe
) -> None:
    mine, other = ScriptedGpu(uuid="GPU-a"), ScriptedGpu(uuid="GPU-b", total_mib=8_000)
    standin.write(gpus=[other, mine])
    meter = probe()
    assert meter.sample()["gpu"]["index"] == 1
    standin.write(gpus=[mine, other], generation=1)
    gpu = meter.sample()["gpu"]
    assert (gpu["index"], gpu["uuid"]) == (0, "GPU-a")
    standin.write(gpus=[other], generation=2)  # never measure another one in its place
    sample = meter.sample()
    assert (sample["state"], sample["gpu"]) == ("lost", None)
    assert "has disappeared" in sample["problem"]


def test_a_lost_gpu_is_not_looked_for_at_every_sample(standin: Standin, probe: StartProbe) -> None:
    meter = probe(retry=3600)
    meter.sample()
    standin.write(errors={"memory": 15})
    assert meter.sample()["state"] == "lost"
    standin.write()
    assert meter.sample()["state"] == "lost"


# ---- none ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"errors": {"init": 9}}, "driver isn't running"),
        ({"gpus": []}, "finds no GPU"),
        ({"errors": {"memory": 3}}, "doesn't report how much memory"),
    ],
)
def test_no_gpu_is_a_state_and_not_a_loss(
    standin: Standin, probe: StartProbe, script: dict[str, Any], words: str
) -> None:
    standin.write(**script)
    meter = probe()
    sample = meter.sample(os.getpid())
    assert (sample["state"], sample["gpu"]) == ("none", None)
    assert words in sample["problem"]
    assert sample["host"]["worker"] > MIB
    standin.write()  # a driver that is installed later is found
    assert meter.sample()["state"] == "ok"


def test_without_the_library_there_is_no_gpu(tmp_path: Path, probe: StartProbe) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()  # can't be loaded, and hides a real one
    sample = probe(LD_LIBRARY_PATH=str(tmp_path)).sample()
    assert (sample["state"], sample["gpu"]) == ("none", None)
    assert sample["problem"].startswith("No NVIDIA driver is installed")


def test_without_the_package_there_is_no_gpu(tmp_path: Path, probe: StartProbe) -> None:
    (tmp_path / "pynvml.py").write_text("raise ModuleNotFoundError('pynvml')")
    sample = probe(PYTHONPATH=str(tmp_path)).sample()
    assert (sample["state"], sample["gpu"]) == ("none", None)
    assert "nvidia-ml-py is missing" in sample["problem"]


# ---- several GPUs --------------------------------------------------------------------------


def test_the_environment_chooses(standin: Standin, probe: StartProbe) -> None:
    gpus = [
        ScriptedGpu(uuid="GPU-aa", total_mib=12_288, used_mib=100),
        ScriptedGpu(uuid="GPU-bb", used_mib=200),
    ]
    standin.write(gpus=gpus)

    def chosen(**environment: str) -> tuple[int, bool]:
        sample = probe(**environment).sample()
        return sample["gpu"]["used"] // MIB, sample["problem"] == ""

    assert chosen() == (200, True)
    assert chosen(HEADROOM_GPU="0") == (100, True)
    assert chosen(HEADROOM_GPU="GPU-bb", CUDA_VISIBLE_DEVICES="1,0") == (200, True)
    assert chosen(CUDA_VISIBLE_DEVICES="GPU-a") == (100, True)
    assert chosen(HEADROOM_GPU="5") == (200, False)
    sample = probe(CUDA_VISIBLE_DEVICES="").sample()
    assert (sample["state"], sample["gpu"]) == ("none", None)


def test_a_broken_second_gpu_does_not_hide_the_first(standin: Standin, probe: StartProbe) -> None:
    small = ScriptedGpu(uuid="GPU-aa", total_mib=8_000)
    standin.write(gpus=[small, ScriptedGpu(uuid="GPU-bb", errors={"memory": 15})])
    meter = probe()
    assert meter.sample()["gpu"]["uuid"] == "GPU-aa"
    standin.write(gpus=[small, ScriptedGpu(uuid="GPU-bb")], generation=1)
    assert meter.sample()["gpu"]["uuid"] == "GPU-aa"  # the chosen one stays
