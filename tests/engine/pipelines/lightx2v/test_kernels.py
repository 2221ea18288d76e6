"""Which kernels run: the planned ones where they work, else the next, and never a refused wish."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.pipelines.base import Broken
from engine.pipelines.cuda import TooFull
from engine.pipelines.lightx2v import kernels
from engine.pipelines.lightx2v.kernels import (
    KernelFails,
    Layer,
    Trials,
    name_sage_1,
    settle_kernels,
    settle_modulation,
)
from engine.plan.choice import Choice, Plan
from engine.presets import Architecture

SHAPE = Architecture(layers=40, dim=5120, ffn_dim=13824, heads=40, text_dim=4096)
GOOD = 0.9999

Answers = dict[str, float | Exception]


class Machine:
    """Kernels that answer as told; any other isn't installed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "kernels.json"
        self.facts = {"gpu": "RTX 4060 Ti", "torch": "2.11"}
        self.answers: Answers = {}
        self.tried: list[str] = []
        self.layers: list[Layer] = []
        self.speed = 2.0  # of any attention, against PyTorch's
        monkeypatch.setattr(kernels, "try_matmul", self._try_matmul)
        monkeypatch.setattr(kernels, "try_attention", self._try)
        monkeypatch.setattr(kernels, "attention_speed", lambda *_: self.speed)
        monkeypatch.setattr(kernels, "try_modulation", lambda _: self._try("modulation"))
        monkeypatch.setattr(kernels, "try_norms", lambda _: self._try("norms"))

    def _try_matmul(self, kernel: str, _precision: str, layer: Layer, _device: str) -> float:
        self.layers.append(layer)
        return self._try(kernel)

    def _try(self, kernel: str, *_: object) -> float:
        self.tried.append(kernel)
        answer = self.answers.get(kernel, TypeError("'NoneType' object is not callable"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def settle(self, plan: Plan, settle: Callable[..., Plan] = settle_kernels) -> Plan:
        return settle(plan, SHAPE, "cuda", Trials(self.file, self.facts))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def plan(
    matmul: str = "fp8-sgl",
    attention: str = "torch_sdpa",
    precision: str = "fp8",
    by_user: str = "",
    compiled: str = "off",
) -> Plan:
    values = {"precision": precision, "matmul": matmul, "text_encoder": matmul}
    values |= {"attention": attention, "compile": compiled}
    return {
        name: Choice(value, "As planned.", "user" if name == by_user else "automatic")
        for name, value in values.items()
    }


def test_what_works_stays_with_its_reason(machine: Machine) -> None:
    machine.answers = {"fp8-sgl": GOOD, "sage_attn2": GOOD}
    asked = plan(attention="sage_attn2")
    assert machine.settle(asked) == asked
    assert machine.tried == ["fp8-sgl", "fp8-sgl", "sage_attn2"]
    assert machine.layers == [Layer(5120, 5120), Layer(4096, 10240, bias=False)]


def test_the_next_that_works_takes_its_place_and_says_why(machine: Machine) -> None:
    machine.answers = {"fp8-triton": 0.5, "fp8-torchao": GOOD}
    settled = machine.settle(plan())
    assert settled["matmul"].value == settled["text_encoder"].value == "fp8-torchao"
    reason = str(settled["matmul"].reason)
    assert "fp8-sgl can't be called here (TypeError" in reason
    assert "fp8-triton doesn't match PyTorch's own result here (cosine 0.5000)" in reason
    assert reason.endswith("fp8-torchao works here instead.")


def test_it_looks_onwards_only(machine: Machine) -> None:
    machine.answers = {"fp8-sgl": GOOD, "fp8-torchao": GOOD}
    assert machine.settle(plan(matmul="fp8-triton"))["matmul"].value == "fp8-torchao"
    assert "fp8-sgl" not in machine.tried


def test_int8_has_an_order_of_its_own(machine: Machine) -> None:
    machine.answers = {"int8-triton": GOOD}
    settled = machine.settle(plan("int8-q8f", precision="int8"))
    assert settled["matmul"].value == "int8-triton"
    order = ["int8-q8f", "int8-sgl", "int8-kitchen", "int8-fused-triton", "int8-triton"]
    assert machine.tried[:5] == order


def test_a_product_of_ours_is_tried_as_the_text_encoder_uses_it(machine: Machine) -> None:
    machine.answers = {"fp8-fused-torch": GOOD, "fp8-triton": GOOD}
    settled = machine.settle({**plan("fp8-fused-torch"), "text_encoder": Choice("fp8-triton", "")})
    assert settled["matmul"].value == "fp8-fused-torch"
    assert machine.tried == ["fp8-fused-torch", "fp8-fused-torch", "fp8-triton"]
    assert [layer.bias for layer in machine.layers] == [True, False, False]


def test_the_text_encoder_knows_none_of_ours_by_name(machine: Machine) -> None:
    machine.answers = {"fp8-fused-torch": GOOD, "fp8-fused-triton": GOOD, "fp8-torchao": GOOD}
    settled = machine.settle(plan())
    assert settled["matmul"].value == "fp8-fused-torch"
    assert settled["text_encoder"].value == "fp8-torchao"


def test_bf16_needs_no_trial(machine: Machine) -> None:
    asked = plan("Default", precision="bf16")
    assert machine.settle(asked) == asked
    assert machine.tried == []


@pytest.mark.parametrize("cosine", [float("nan"), 0.98, -1.0])
def test_attention_that_differs_gives_way_to_pytorchs(machine: Machine, cosine: float) -> None:
    machine.answers = {"fp8-sgl": GOOD, "sage_attn2": cosine}
    settled = machine.settle(plan(attention="sage_attn2"))
    assert settled["attention"].value == "torch_sdpa"
    assert "sage_attn2 doesn't match PyTorch's" in str(settled["attention"].reason)


def test_attention_that_is_slower_gives_way_unless_it_was_wished_for(machine: Machine) -> None:
    machine.answers = {"fp8-sgl": GOOD, "sage_attn2": GOOD}
    machine.speed = 0.5
    settled = machine.settle(plan(attention="sage_attn2"))["attention"]
    assert settled.value == "torch_sdpa"
    assert "2.00 times as long" in str(settled.reason)
    wished = plan(attention="sage_attn2", by_user="attention")
    assert machine.settle(wished)["attention"].value == "sage_attn2"


def test_nothing_works(machine: Machine) -> None:
    with pytest.raises(KernelFails, match=r"fp8-sgl .* fp8-triton .* fp8-torchao ") as failed:
        machine.settle(plan())
    assert "driver" in str(failed.value.remedy)


@pytest.mark.parametrize(("part", "kernel"), [("matmul", "fp8-sgl"), ("attention", "sage_attn2")])
def test_the_users_own_choice_is_refused_not_replaced(
    machine: Machine, part: str, kernel: str
) -> None:
    machine.answers = {"fp8-sgl": GOOD, "fp8-triton": GOOD, "sage_attn2": GOOD}
    del machine.answers[kernel]
    with pytest.raises(KernelFails, match=f"{kernel} can't be called here") as failed:
        machine.settle(plan(attention="sage_attn2", by_user=part))
    assert "automatic" in str(failed.value.remedy)
    assert kernel in str(failed.value.remedy)


def test_a_long_error_is_told_in_one_line(machine: Machine) -> None:
    machine.answers = {"fp8-sgl": RuntimeError("no image\n" + "x" * 9000), "fp8-triton": GOOD}
    reason = str(machine.settle(plan())["matmul"].reason)
    assert "no image" in reason
    assert len(reason) < 300


# ---- remembering ---------------------------------------------------------------------------


def test_an_answer_is_remembered_for_this_machine(machine: Machine) -> None:
    machine.answers = {"fp8-sgl": GOOD}
    machine.settle(plan())
    machine.settle(plan())
    assert machine.tried == ["fp8-sgl"] * 2  # with a bias, and without as in the T5
    machine.facts = {**machine.facts, "torch": "2.12"}
    machine.settle(plan())
    assert machine.tried == ["fp8-sgl"] * 4
    assert len(json.loads(machine.file.read_text())) == 2


def test_two_cards_take_nothing_from_each_other(machine: Machine) -> None:
    """Each lane's worker writes what its card answered, and neither asks again."""
    machine.answers = {"fp8-sgl": GOOD}
    first = machine.facts
    for _ in range(2):
        for machine.facts in (first, {**first, "gpu": "RTX 4090"}):
            machine.settle(plan())
    assert machine.tried == ["fp8-sgl"] * 4
    one, other = (Trials(machine.file, machine.facts) for _ in range(2))
    one.keep("a", GOOD)
    other.keep("b", GOOD)
    assert {"a", "b"} <= Trials(machine.file, machine.facts)._known.keys()
    for number in range(20):
        Trials(machine.file, {"torch": str(number)}).keep("a", GOOD)
    kept = json.loads(machine.file.read_text())
    assert len(kept) == 8, "the few newest stay"
    assert [file.name for file in machine.file.parent.iterdir()] == [machine.file.name]


def test_a_difference_is_remembered_a_failure_is_tried_again(machine: Machine) -> None:
    """What couldn't be called may have lacked memory, or a package that comes later."""
    machine.answers = {"fp8-triton": 0.5, "fp8-torchao": GOOD}
    machine.settle(plan())
    machine.tried.clear()
    machine.settle(plan())
    assert set(machine.tried) == {"fp8-sgl", "fp8-fused-torch", "fp8-fused-triton"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', "null", "KEY: null", "KEY: [1]"])
def test_a_damaged_memory_counts_as_none(machine: Machine, text: str) -> None:
    key = json.dumps(json.dumps(machine.facts, sort_keys=True))
    machine.file.write_text("{" + text.replace("KEY", key) + "}" if "KEY" in text else text)
    machine.answers = {"fp8-sgl": GOOD}
    machine.settle(plan())
    machine.settle(plan())
    assert machine.tried == ["fp8-sgl"] * 2


def test_a_memory_that_cant_be_written_costs_only_time(machine: Machine) -> None:
    machine.file.mkdir()
    machine.answers = {"fp8-sgl": GOOD}
    assert machine.settle(plan())["matmul"].value == "fp8-sgl"


# ---- modulation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "compiled", "runs", "told"),
    [
        ({"norms": GOOD, "modulation": GOOD}, "off", "fused", "read each row once"),
        ({"norms": 0.5, "modulation": GOOD}, "off", "triton", "fused doesn't match PyTorch's"),
        ({"norms": GOOD, "modulation": GOOD}, "on", "triton", "torch.compile fuses the norms"),
        ({"modulation": RuntimeError("no C compiler")}, "off", "torch", "no C compiler"),
    ],
)
def test_norms_run_fused_where_their_kernels_compile(
    machine: Machine, answers: Answers, compiled: str, runs: str, told: str
) -> None:
    machine.answers = answers
    settled = machine.settle(plan(compiled=compiled), settle_modulation)["modulation"]
    assert settled.value == runs
    assert told in str(settled.reason)


def test_a_cpu_is_not_asked(machine: Machine, tmp_path: Path) -> None:
    settled = settle_modulation(plan(), SHAPE, "cpu", Trials(machine.file, {}))
    assert settled["modulation"].value == "torch"
    assert machine.tried == []


def test_memory_that_others_hold_is_no_fault_of_a_kernel(machine: Machine) -> None:
    machine.answers = {"sage_attn1": torch.OutOfMemoryError("CUDA out of memory"), "fp8-sgl": GOOD}
    with pytest.raises(TooFull, match="Too little memory was left") as full:
        machine.settle(plan(attention="sage_attn1"))
    assert "Close other programs" in str(full.value.remedy)
    machine.answers["sage_attn1"] = GOOD
    assert machine.settle(plan(attention="sage_attn1"))["attention"].value == "sage_attn1"


def test_a_kernel_that_takes_the_gpu_with_it_is_left_by_the_next_process(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this one every call fails from now on: no other kernel can be tried."""
    machine.answers = {
        "fp8-sgl": RuntimeError("CUDA error: an illegal memory access was encountered"),
        "fp8-triton": GOOD,
    }
    with monkeypatch.context() as dead:
        dead.setattr(torch.cuda, "is_available", lambda: True)
        dead.setattr(kernels, "is_dead", lambda: True)
        with pytest.raises(Broken, match="fp8-sgl crashed when it was tried"):
            machine.settle(plan())
    assert machine.tried == ["fp8-sgl"]
    machine.answers["fp8-sgl"] = GOOD
    settled = machine.settle(plan())["matmul"]
    assert settled.value == "fp8-triton"
    assert "fp8-sgl crashed when it was tried here." in str(settled.reason)


def test_a_package_that_cant_be_imported_is_for_its_trial_to_find(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sageattention.py").write_text("raise OSError('DLL load failed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not name_sage_1()
