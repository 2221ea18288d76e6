"""Who names no model gets the best that is ready here."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.default_model import (
    asked_for,
    candidates,
    default_model,
    least_seconds,
)
from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.machine.cards import card_name
from engine.plan.kernel_rows import KernelTimes
from engine.presets import load_presets
from engine.request import RequestError
from engine.text import Text
from engine.worker.status import EngineState
from tests.conftest import TESTS, wait_until
from tests.support.machines import LINUX, with_gpu, with_packages
from tests.support.models import for_gpu
from tests.support.samples import seen, without_gpu

Make = Callable[..., Engine]


@pytest.fixture
def make(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(*precisions: str, gpu: bool = True) -> Engine:
        folder = tmp_path / "presets"
        shutil.copytree(TESTS / "fixtures/presets", folder)
        for_gpu(folder, *precisions)
        monkeypatch.setenv("HEADROOM_PRESETS", str(folder))
        made = Engine(Home.find(), load_presets(), jobs)
        monkeypatch.setattr(made.plans, "_machine", lambda: LINUX)
        monkeypatch.setattr(made.guard, "_look", seen if gpu else without_gpu)
        monkeypatch.setattr(made, "look", seen if gpu else without_gpu)
        return made

    return make


def test_without_a_gpu_it_is_the_cpu_default_and_says_what_is_missing(make: Make) -> None:
    usual = default_model(make("fp8", gpu=False))
    assert usual.preset.id == "wan-tiny"
    assert str(usual.reason).startswith("It runs on any machine. ")
    assert "GPU" in str(usual.reason)
    assert str(usual.sentence).startswith(f"Model: {usual.preset.name}. It runs on any ")


def test_on_a_gpu_it_is_fp8_before_what_came_first(make: Make) -> None:
    engine = make("bf16", "fp8")
    assert default_model(engine).preset.id == "large-fp8"
    assert default_model(engine).reason == Text("default_model.ready")
    assert asked_for(engine, {"prompt": "x"}).model == "large-fp8"
    assert asked_for(engine, {"prompt": "x", "model": "scripted"}).model == "scripted"
    with pytest.raises(RequestError, match="no model 'large'"):
        asked_for(engine, {"prompt": "x", "model": "large"})


def test_what_this_gpu_cant_run_is_passed_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make("int8", "fp8")
    older = with_packages(with_gpu(LINUX, "RTX 3090", (8, 6), 24), triton="3.6.0")
    monkeypatch.setattr(engine.plans, "_machine", lambda: older)
    assert default_model(engine).preset.id == "large-int8"


def test_weights_that_are_missing_are_the_reason(make: Make) -> None:
    usual = default_model(make())  # Wan2.1's models alone, whose engine isn't here
    assert usual.preset.id == "wan-tiny"
    assert "LightX2V, isn't installed" in str(usual.reason)


def ids(engine: Engine, barred: bool) -> list[str]:
    return [c.preset.id for c in candidates(engine) if bool(c.barred) is barred]


def test_the_recommended_model_comes_first_and_says_why(make: Make) -> None:
    first, *rest = candidates(make("bf16", "fp8"))
    assert first.preset.id == "large-fp8"
    assert str(first.reason) == "The best match for your RTX 4060 Ti."
    assert not any(candidate.recommended for candidate in rest)


def test_what_cant_run_here_comes_last_with_its_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make("int8", "fp8")
    older = with_packages(with_gpu(LINUX, "RTX 3090", (8, 6), 24), triton="3.6.0")
    monkeypatch.setattr(engine.plans, "_machine", lambda: older)
    found = candidates(engine)
    assert found[0].preset.id == "large-int8"
    why = "The best match for your RTX 4060 Ti. It can't run Planned"
    assert str(found[0].reason).startswith(why.replace("Planned", "Large"))
    assert [bool(c.barred) for c in found] == sorted(bool(c.barred) for c in found)
    assert "large-fp8" in ids(engine, barred=True)
    assert "FP8" in str(next(c for c in found if c.preset.id == "large-fp8").barred)


def test_without_a_gpu_the_cpu_default_is_recommended(make: Make) -> None:
    engine = make("fp8", gpu=False)
    first = candidates(engine)[0]
    assert first.preset.id == "wan-tiny"
    assert str(first.reason) == "It runs on any machine."
    assert "large-fp8" in ids(engine, barred=True)
    assert "scripted" in ids(engine, barred=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", "RTX 4060 Ti"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("Tesla T4", "Tesla T4"),
        ("NVIDIA ", "NVIDIA "),
    ],
)
def test_a_card_is_called_as_its_owner_calls_it(name: str, said: str) -> None:
    assert card_name(name) == said


@pytest.mark.starts
def test_what_is_expected_is_loaded_once(make: Make) -> None:
    engine = make()
    try:
        engine.start()
        assert engine.status().state is EngineState.OFF
        engine.expect("scripted")
        wait_until(lambda: engine.status().state is EngineState.READY, "the expected model")
        pid = engine.status().worker_pid
        engine.expect("scripted-fp8")
        engine.submit(asked_for(engine, {"prompt": "x", "model": "scripted"}))
        wait_until(lambda: engine.jobs.count_waiting() == 0, "the clip")
        assert engine.status().worker_pid == pid
    finally:
        engine.close()


# ---- by the kernel test --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "best"),
    [
        ({"large-fp8": 66.0, "large-int8": 38.0}, "large-int8"),
        ({"large-fp8": 40.0, "large-int8": 38.0}, "large-fp8"),  # no reason to fetch 22 GB again
        ({"large-fp8": 38.0, "large-int8": 66.0}, "large-fp8"),
        ({"large-int8": 38.0}, "large-fp8"),  # the other one wasn't timed
        ({}, "large-fp8"),
    ],
)
def test_what_is_clearly_faster_here_is_recommended(
    make: Make, monkeypatch: pytest.MonkeyPatch, least: dict[str, float], best: str
) -> None:
    engine = make("fp8", "int8")
    monkeypatch.setattr(engine.plans, "_machine", lambda: with_packages(LINUX, triton="3.6.0"))
    monkeypatch.setattr("engine.default_model.least_seconds", lambda _: least)
    first, *rest = candidates(engine)
    assert (first.preset.id, first.least) == (best, least.get(best))
    assert first.recommended
    assert not any(one.recommended for one in rest)
    assert default_model(engine).preset.id == best, "both are ready: it makes the clips"
    if best == "large-int8":
        assert "at least 38 s, with" in str(first.reason)
        assert str(first.reason).endswith(" 66 s.")


def test_the_least_seconds_are_those_of_the_test(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make("fp8", "int8")
    assert least_seconds(engine) == {}, "nothing was tested"
    monkeypatch.setattr(engine, "machine", lambda: LINUX)
    monkeypatch.setattr(engine.kernel_test, "times", lambda _: KernelTimes())
    told = {"large-fp8": 12.5}
    monkeypatch.setattr("engine.default_model.seconds", lambda *_: told)
    assert least_seconds(engine) == told
