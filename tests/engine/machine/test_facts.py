"""What this computer is: packages without importing them, the GPU of the moment, its limit."""

import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from engine.guard.budget import device_for, held_by
from engine.machine import facts
from engine.machine.facts import (
    LimitError,
    Machine,
    gpu_facts,
    machine_now,
    this_machine,
    vram_limit,
)
from engine.machine.nvml import Holder
from engine.presets import Presets
from engine.units import GIB
from tests.support.samples import CARD, sample_of, seen, without_gpu

MODEL = "wan2.1-t2v-14b-fp8"


def test_the_gpu_comes_and_goes_and_the_rest_stays() -> None:
    here = machine_now(seen())
    assert here.gpu == CARD
    assert machine_now(without_gpu()) == this_machine() == replace(here, gpu=None)
    assert here.facts() != this_machine().facts()


def test_packages_are_read_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lightx2v", "sgl_kernel", "q8_kernels"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "sglang_kernel-0.4.4.dist-info").mkdir()
    (tmp_path / "sglang_kernel-0.4.4.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: sglang-kernel\nVersion: 0.4.4\n"
    )
    (tmp_path / "comfy_kitchen-0.2.40.dist-info").mkdir()  # what an uninstall left behind
    (tmp_path / "comfy_kitchen-0.2.40.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: comfy-kitchen\nVersion: 0.2.40\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    found = facts._packages()
    assert found["lightx2v"] == found["q8-kernels"] == "unknown"
    assert found["sgl-kernel"] == "0.4.4"
    assert found["torch"] == metadata.version("torch")
    assert "sageattention" not in found
    assert "comfy-kitchen" not in found


def test_versions_are_numbers_as_far_as_they_are() -> None:
    packages = {"torch": "2.11.0+cu130", "triton": "3.8.0.post29", "lightx2v": "unknown"}
    one = Machine("Linux", "x", 1, 1, "3.11", packages=packages)
    names = ("torch", "triton", "lightx2v", "sageattention")
    assert [one.version(name) for name in names] == [(2, 11, 0), (3, 8, 0), (), None]


# ---- HEADROOM_VRAM_LIMIT_GIB ---------------------------------------------------------------


def test_a_limit_caps_what_the_program_takes(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", "15.5")
    preset = presets.models[MODEL]
    limit = round(15.5 * GIB)
    assert gpu_facts(sample_of(CARD)).total == limit
    for others, budget in [(0, limit), (60 * GIB, limit), (70 * GIB, 10 * GIB), (80 * GIB, 0)]:
        device = device_for(preset, seen(others), None)
        assert device is not None
        assert (device.total, device.budget, device.budget_alone) == (limit, budget, limit)
        assert "limited to 15.5 GB by HEADROOM_VRAM_LIMIT_GIB" in str(device.name)


def test_a_limit_above_the_card_changes_nothing(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = device_for(presets.models[MODEL], seen(), None)
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", "96")
    assert device_for(presets.models[MODEL], seen(), None) == before
    assert gpu_facts(sample_of(CARD)).total == CARD.total


@pytest.mark.parametrize("text", ["lots", "0", "-3", "nan", "inf", "12 GB"])
def test_a_limit_that_is_no_number_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", text)
    with pytest.raises(LimitError, match="isn't a number of GiB above zero") as caught:
        vram_limit()
    assert caught.value.sentence.values["value"] == repr(text)
    assert "HEADROOM_VRAM_LIMIT_GIB=12.5" in str(caught.value.remedy)
    monkeypatch.setenv("HEADROOM_VRAM_LIMIT_GIB", " ")
    assert vram_limit() is None


# ---- whose memory it is --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "told", "ours"),
    [
        (6 * GIB, None, 6 * GIB),
        (6 * GIB, 5 * GIB, 6 * GIB),  # the driver's word comes first
        (None, 5 * GIB, 5 * GIB),  # WDDM
        (None, None, 0),
        (None, 90 * GIB, 8 * GIB),  # no more than is in use
    ],
)
def test_the_worker_tells_where_the_driver_doesnt(
    presets: Presets, used: int | None, told: int | None, ours: int
) -> None:
    sample = seen(8 * GIB, (Holder(7, "python", used), Holder(8, "game", None)))
    assert sample.gpu is not None
    assert held_by(sample.gpu, 7, told) == ours
    device = device_for(presets.models[MODEL], sample, 7, told)
    assert device is not None
    assert device.others == 8 * GIB - ours


def test_in_a_container_the_driver_knows_another_pid() -> None:
    sample = sample_of(CARD, 8 * GIB, (Holder(40_007, "python", 6 * GIB),))
    assert held_by(sample, 7, 6 * GIB) == 6 * GIB
    assert held_by(sample, None, 6 * GIB) == 0
