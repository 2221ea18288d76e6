"""Who names no model gets the best that is ready here."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.default_model import asked_for, usual_model
from engine.engine import Supervisor
from engine.home import Home
from engine.jobs import Jobs
from engine.presets import load_presets
from engine.request import RequestError
from engine.worker.status import Engine
from tests.conftest import TESTS, wait_until
from tests.engine.machine.test_facts import seen, without_gpu
from tests.support.machines import LINUX, with_gpu, with_packages

Make = Callable[..., Supervisor]


def for_gpu(folder: Path, *precisions: str) -> None:
    """The scripted pipeline as models for a GPU: they need no packages and no weights."""
    text = (TESTS / "fixtures/presets/scripted-fp8.yaml").read_text(encoding="utf-8")
    text = text.replace("runs_on: cpu", "runs_on: nvidia").replace("name: Planned", "name: Large")
    for precision in precisions:
        own = text.replace("id: scripted-fp8", f"id: large-{precision}")
        own = own.replace("precision: fp8", f"precision: {precision}")
        (folder / f"large-{precision}.yaml").write_text(own, encoding="utf-8")


@pytest.fixture
def make(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(*precisions: str, gpu: bool = True) -> Supervisor:
        folder = tmp_path / "presets"
        shutil.copytree(TESTS / "fixtures/presets", folder)
        for_gpu(folder, *precisions)
        monkeypatch.setenv("HEADROOM_PRESETS", str(folder))
        made = Supervisor(Home.find(), load_presets(), jobs)
        monkeypatch.setattr(made.plans, "_machine", lambda: LINUX)
        monkeypatch.setattr(made.guard, "_look", seen if gpu else without_gpu)
        return made

    return make


def test_without_a_gpu_it_is_the_cpu_default_and_says_what_is_missing(make: Make) -> None:
    usual = usual_model(make("fp8", gpu=False))
    assert usual.preset.id == "wan-tiny"
    assert usual.reason.startswith("It runs on any machine. ")
    assert "GPU" in usual.reason


def test_on_a_gpu_it_is_fp8_before_what_came_first(make: Make) -> None:
    supervisor = make("bf16", "fp8")
    assert usual_model(supervisor).preset.id == "large-fp8"
    assert asked_for(supervisor, {"prompt": "x"}).model == "large-fp8"
    assert asked_for(supervisor, {"prompt": "x", "model": "scripted"}).model == "scripted"
    with pytest.raises(RequestError, match="no model 'large'"):
        asked_for(supervisor, {"prompt": "x", "model": "large"})


def test_what_this_gpu_cant_run_is_passed_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = make("int8", "fp8")
    older = with_packages(with_gpu(LINUX, "RTX 3090", (8, 6), 24), triton="3.6.0")
    monkeypatch.setattr(supervisor.plans, "_machine", lambda: older)
    assert usual_model(supervisor).preset.id == "large-int8"


def test_weights_that_are_missing_are_the_reason(make: Make) -> None:
    usual = usual_model(make())  # Wan2.1's models alone, whose engine isn't here
    assert usual.preset.id == "wan-tiny"
    assert "LightX2V, isn't installed" in usual.reason


def test_what_is_expected_is_loaded_once(make: Make) -> None:
    supervisor = make()
    try:
        supervisor.start()
        assert supervisor.status().state is Engine.OFF
        supervisor.expect("scripted")
        wait_until(lambda: supervisor.status().state is Engine.READY, "the expected model")
        pid = supervisor.status().worker_pid
        supervisor.expect("scripted-fp8")
        supervisor.submit(asked_for(supervisor, {"prompt": "x", "model": "scripted"}))
        wait_until(lambda: supervisor.jobs.count_waiting() == 0, "the clip")
        assert supervisor.status().worker_pid == pid
    finally:
        supervisor.close()
