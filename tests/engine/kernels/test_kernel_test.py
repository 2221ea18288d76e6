"""The kernel test: what it tries on which machine, who it waits for, and what it keeps."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.kernels import child, kernel_test
from engine.kernels.child import CantTest
from engine.kernels.kernel_test import NEEDS, Busy, KernelTest
from engine.kernels.tasks import Task, key_of, own_model, tasks
from engine.machine.facts import Machine
from engine.plan.choice import Choice
from engine.plan.kernel_options import SPARSE
from engine.plan.kernel_rows import KernelRow
from engine.presets import load_presets
from engine.text import Text
from tests.support.machines import LINUX, with_packages
from tests.support.samples import seen, without_gpu

PRESETS = load_presets()
FP8 = PRESETS.models["wan2.1-t2v-14b-fp8"]
INT8 = PRESETS.models["wan2.1-t2v-14b-int8"]
TINY = PRESETS.models["wan-tiny"]
NO_GPU = replace(LINUX, gpu=None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[Task]]:
    """What the process would have been given; every kernel takes as long as its name."""
    asked: list[list[Task]] = []

    def run(tasks: list[Task], *_: Any) -> tuple[KernelRow, ...]:
        asked.append(tasks)
        return tuple(task.row(float(len(task.kernel)), 1.0) for task in tasks)

    monkeypatch.setattr(child, "run", run)
    return asked


def kernel_test_of(
    home: Home, machine: Machine = LINUX, look: Callable[[], Any] = seen
) -> KernelTest:
    return KernelTest(home, lambda: machine, look)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


# ---- what is tried -------------------------------------------------------------------------


def test_every_kernel_that_can_be_called_is_tried_whatever_will_be_fetched() -> None:
    machine = with_packages(LINUX, triton="3.6.0", **{"comfy-kitchen": "0.2.40"})
    every = tasks(machine, FP8)
    assert [replace(task, given={}) for task in every] == [
        replace(task, given={}) for task in tasks(machine, INT8)
    ]
    products = {task.kernel for task in every if task.what == "linear"}
    assert products == {
        "fp8-fused-torch",
        "fp8-fused-triton",
        "fp8-triton",
        "fp8-torchao",
        "int8-kitchen",
        "int8-fused-triton",
        "int8-triton",
        "Default",
    }
    shapes = {task.shape for task in every if task.what == "linear"}
    assert shapes == {
        f"{tokens}×{sides}"
        for tokens in (32_760, 75_600)
        for sides in ("5120→5120", "5120→13824", "13824→5120")
    }
    attention = [task for task in every if task.what == "attention"]
    assert {task.kernel for task in attention} == {"torch_sdpa", "kitchen_int8", *SPARSE}
    assert {task.given["timed_heads"] for task in attention} == {16, 8}


def test_what_matters_most_comes_first() -> None:
    """The time may be over before the large size's turn, and Triton compiles at each first call."""
    machine = with_packages(LINUX, triton="3.6.0", **{"comfy-kitchen": "0.2.40"})
    every = tasks(machine, FP8)
    tokens = [task.tokens for task in every if task.what != "decode"]
    assert tokens == sorted(tokens)
    kernels = [task.kernel for task in every]
    begun = next(i for i, kernel in enumerate(kernels) if "triton" in kernel)
    quick = {"fp8-fused-torch", "fp8-torchao", "int8-kitchen", "torch_sdpa", "kitchen_int8"}
    assert quick | {"whole"} <= set(kernels[:begun])
    first = [task.shape for task in every if task.what == "linear"][:8]
    assert set(first) == {"32760×5120→13824"}, "each kernel at the largest product"


def test_without_a_gpu_the_tiny_model_is_tested() -> None:
    assert own_model(NO_GPU, PRESETS) == TINY
    assert own_model(LINUX, PRESETS).runs_on == "nvidia"
    every = tasks(NO_GPU, TINY)
    assert {task.what for task in every} == {"linear", "attention", "decode"}


# ---- when it begins ------------------------------------------------------------------------


def test_it_waits_for_memory_and_then_says_who_to_close(
    home: Home, asked: list[list[Task]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_test, "WAITS", 0.0)
    full = replace(seen().gpu, free=NEEDS - 1)  # type: ignore[type-var]
    told: list[Text] = []
    with pytest.raises(Busy, match=r"needs 3\.0 GB.*Close programs"):
        kernel_test_of(home, look=lambda: replace(seen(), gpu=full)).run(FP8, waits=told.append)
    assert asked == []
    kernel_test_of(home).run(FP8)
    assert len(asked) == 1


def test_a_model_for_gpus_cant_be_tested_without_one(home: Home, asked: list[list[Task]]) -> None:
    with pytest.raises(CantTest, match="NVIDIA"):
        kernel_test_of(home, NO_GPU, without_gpu).run(FP8)
    assert asked == []


# ---- what is kept --------------------------------------------------------------------------


@pytest.mark.usefixtures("asked")
def test_it_holds_for_models_of_one_shape_on_this_machine(home: Home) -> None:
    made = kernel_test_of(home)
    assert made.times(FP8) is None
    found = made.run(FP8)
    assert made.times(FP8) == made.times(INT8) == found
    assert made.times(TINY) is None
    newer = replace(LINUX, gpu=replace(LINUX.gpu, driver="999.1"))  # type: ignore[type-var]
    assert kernel_test_of(home, newer).times(FP8) is None
    assert kernel_test_of(home, with_packages(LINUX, torch="9.9")).times(FP8) is None
    assert key_of(LINUX, FP8) == key_of(LINUX, INT8) != key_of(LINUX, TINY)


@pytest.mark.usefixtures("asked")
def test_what_was_timed_beside_other_work_isnt_kept(home: Home) -> None:
    made = kernel_test_of(home)
    changed: list[bool] = []
    made.changed = lambda: changed.append(True)
    made.run(FP8, undisturbed=lambda: False)
    assert (made.times(FP8), changed) == (None, [])
    made.run(FP8)
    assert (made.times(FP8) is not None, changed) == (True, [True])


def test_one_runs_at_a_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses again and again starts one."""
    begun, go_on = threading.Event(), threading.Event()

    def run(*_: Any) -> tuple[KernelRow, ...]:
        begun.set()
        go_on.wait(20)
        return ()

    monkeypatch.setattr(child, "run", run)
    made = kernel_test_of(home)
    first = threading.Thread(target=made.run, args=(FP8,))
    first.start()
    assert begun.wait(20)
    with pytest.raises(Busy, match="running already"):
        made.run(FP8)
    go_on.set()
    first.join()
    made.run(FP8)


# ---- by itself -----------------------------------------------------------------------------


@pytest.fixture
def card(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine on a machine with a 4060 Ti, where everything is installed."""
    monkeypatch.setattr(engine.lane, "machine", lambda: LINUX)
    monkeypatch.setattr(engine.kernel_test, "_machine", lambda: LINUX)
    monkeypatch.setattr(engine.kernel_test, "_look", seen)
    monkeypatch.setattr("engine.engine.is_here", lambda _: True)
    monkeypatch.setattr("engine.engine.own_model", lambda *_: FP8)
    return engine


def wait() -> None:
    for thread in threading.enumerate():
        if thread.name == "kernel test":
            thread.join(10)


def test_a_new_machine_is_tested_once(card: Engine, asked: list[list[Task]]) -> None:
    for _ in range(2):
        card.test_kernels()
        wait()
    assert len(asked) == 1
    assert card.kernel_test.times(FP8) is not None


@pytest.mark.parametrize("why", ["no gpu", "not installed", "a model is loaded"])
def test_it_doesnt_begin_by_itself(
    card: Engine, asked: list[list[Task]], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    match why:
        case "no gpu":
            monkeypatch.setattr(card.lane, "machine", lambda: NO_GPU)
        case "not installed":
            monkeypatch.setattr("engine.engine.is_here", lambda _: False)
        case _:
            monkeypatch.setattr(card, "_idle", lambda: False)
    card.test_kernels()
    wait()
    assert asked == []


@pytest.mark.usefixtures("asked")
def test_what_was_learnt_before_gives_way_and_what_comes_after_stays(engine: Engine) -> None:
    plans = engine.plans
    model = "scripted"

    def learned() -> list[str]:
        rows = engine.jobs.store.rows("select name from choices where source = 'engine'")
        return sorted(row["name"] for row in rows)

    for name in ("attention", "matmul", "offload"):
        plans.learn(model, name, Choice("x", Text("plan.sdpa"), by="engine"))
    engine.kernel_test.changed()
    assert learned() == ["offload"]
    plans.learn(model, "attention", Choice("x", Text("plan.sdpa"), by="engine"))
    assert learned() == ["attention", "offload"]
