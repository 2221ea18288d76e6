"""What follows from a kernel test: the winner, the least seconds, what is kept, and the plan."""

import json
from pathlib import Path

import pytest

from engine.plan.choice import Plan
from engine.plan.kernel_rows import (
    MOST_KEPT,
    KernelRow,
    KernelTimes,
    What,
    clip_seconds,
    keep,
    kept,
    winner,
)
from engine.plan.make import make_plan, options
from engine.presets import load_presets
from tests.support.machines import LINUX, TORCH, WINDOWS, with_packages

PRESETS = load_presets().models
INT8 = PRESETS["wan2.1-t2v-14b-int8"]
TOKENS = 32_760
WITH_ALL = with_packages(
    LINUX, sageattention="1.0.6", triton="3.6.0", **{"comfy-kitchen": "0.2.40"}
)


def row(
    what: What, kernel: str, ms: float | None, cosine: float | None = 0.999, shape: str = "s"
) -> KernelRow:
    problem = "" if ms else "ImportError: no such kernel"
    return KernelRow(what, kernel, shape, TOKENS, ms, cosine, problem)


def linear(kernel: str, *ms: float | None, cosine: float = 0.999) -> list[KernelRow]:
    return [row("linear", kernel, one, cosine, f"shape {n}") for n, one in enumerate(ms)]


# ---- the winner ----------------------------------------------------------------------------


def test_the_fastest_right_kernel_wins_over_all_shapes() -> None:
    times = KernelTimes((*linear("a", 2, 2, 8), *linear("b", 3, 3, 3), *linear("c", 1, 1, None)))
    first = winner(times, "linear", ["a", "b", "c"])
    assert first is not None
    assert (first.kernel, first.than) == ("b", "a")
    assert first.times == pytest.approx(12 / 9)
    assert str(first.reason) == "b is 1.3 times as fast as a here (kernel test)."


def test_the_usual_one_stays_against_what_isnt_clearly_faster() -> None:
    times = KernelTimes((row("attention", "usual", 1.02), row("attention", "other", 1.0)))
    assert winner(times, "attention", ["usual", "other"]) is None
    assert winner(times, "attention", ["other", "usual"]) is not None


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (row("attention", "a", 1.0),),
        (row("attention", "a", 1.0), row("attention", "b", 0.5, cosine=0.98)),
        (row("attention", "a", 1.0), row("attention", "b", 0.5, cosine=float("nan"))),
        (row("attention", "a", 1.0), row("attention", "b", None, cosine=None)),
        (row("linear", "a", 1.0), row("linear", "b", 0.5)),
    ],
)
def test_nothing_wins_where_fewer_than_two_are_right(rows: tuple[KernelRow, ...]) -> None:
    assert winner(KernelTimes(rows), "attention", ["a", "b"]) is None


def test_kernels_are_held_against_each_other_where_all_were_timed() -> None:
    """The test ended when its time was over."""
    times = KernelTimes((*linear("a", 2, 2), *linear("b", 1)))
    first = winner(times, "linear", ["a", "b"])
    assert first is not None
    assert (first.kernel, first.times) == ("b", 2.0)
    apart = KernelTimes((row("linear", "a", 2, shape="x"), row("linear", "b", 1, shape="y")))
    assert winner(apart, "linear", ["a", "b"]) is None


# ---- the plan ------------------------------------------------------------------------------


def planned(*rows: KernelRow) -> Plan:
    return make_plan(WITH_ALL, INT8, times=KernelTimes(rows))


def test_without_a_test_the_plan_goes_by_what_is_known() -> None:
    plan = planned()
    assert (plan["attention"].value, plan["matmul"].value) == ("sage_attn1", "int8-kitchen")
    assert {plan[name].by for name in ("attention", "matmul")} == {"automatic"}


def test_the_plan_takes_the_fastest_and_says_so() -> None:
    plan = planned(
        *linear("int8-kitchen", 3, 3),
        *linear("int8-triton", 2, 2),
        row("attention", "sage_attn1", 50),
        row("attention", "torch_sdpa", 38),
        row("attention", "kitchen_int8", 20),
    )
    assert plan["matmul"].value == "int8-triton"
    assert "int8-triton is 1.5 times as fast as int8-kitchen here" in str(plan["matmul"].reason)
    assert plan["attention"].value == "kitchen_int8"
    assert "1.9 times as fast as torch_sdpa" in str(plan["attention"].reason)
    assert plan["attention"].by == "engine", "the worker needn't time it again"


def test_what_the_test_found_wrong_cant_be_chosen() -> None:
    times = KernelTimes(
        (
            *linear("int8-kitchen", 1, None),
            *linear("int8-triton", 2, 2, cosine=0.5),
            row("attention", "sage_attn1", None, None),
        )
    )
    found = {
        (name, str(option.value)): option
        for name, offered in options(WITH_ALL, INT8, times).items()
        for option in offered
    }
    wrong = [("matmul", "int8-kitchen"), ("matmul", "int8-triton"), ("attention", "sage_attn1")]
    assert [found[key].works for key in wrong] == [False] * 3
    assert "no such kernel" in str(found["matmul", "int8-kitchen"].reason)
    assert "cosine 0.5000" in str(found["matmul", "int8-triton"].reason)


def test_too_little_memory_says_nothing_of_a_kernel() -> None:
    full = KernelRow("attention", "kitchen_int8", "s", 75_600, problem="memory")
    fast, slow = row("attention", "kitchen_int8", 20), row("attention", "torch_sdpa", 38)
    plan = planned(fast, slow, full)
    assert plan["attention"].value == "kitchen_int8"
    assert "wasn't enough memory" in str(full.why)


def test_the_users_choice_comes_before_the_test() -> None:
    times = KernelTimes((row("attention", "torch_sdpa", 2), row("attention", "kitchen_int8", 1)))
    plan = make_plan(WITH_ALL, INT8, {"attention": "torch_sdpa"}, times=times)
    assert (plan["attention"].value, plan["attention"].by) == ("torch_sdpa", "user")


def test_on_windows_kitchen_multiplies_without_triton() -> None:
    """Triton for Windows is a separate package, and may be missing."""
    machine = with_packages(WINDOWS, **TORCH, **{"comfy-kitchen": "0.2.40"})
    assert make_plan(machine, INT8)["matmul"].value == "int8-kitchen"


# ---- seconds -------------------------------------------------------------------------------


def test_the_least_seconds_are_those_of_the_parts() -> None:
    """14B at 480×832×81: 40 layers × 4 steps of products, attention and the text's."""
    times = KernelTimes(
        (
            row("linear", "fp8", 2.0, shape="32760×5120→5120"),
            row("linear", "fp8", 5.0, shape="32760×5120→13824"),
            row("linear", "fp8", 5.0, shape="32760×13824→5120"),
            row("attention", "sdpa", 40.0),
            KernelRow("decode", "whole", "240×416×9", 240 * 416 * 9, 60.0, 0.999),
        )
    )
    preset = PRESETS["wan2.1-t2v-14b-fp8"]
    # Six square products a block, of which one was timed, and both of the feed-forward part.
    timed_ops = 2.0 * TOKENS * (5120**2 + 2 * 5120 * 13824)
    ops = 2.0 * TOKENS * (6 * 5120**2 + 2 * 5120 * 13824) + 2.0 * 512 * 2 * 5120**2
    attends = 40e-3 * (TOKENS + 512) / TOKENS
    decode = 60e-3 * (480 * 832 * 81) / (240 * 416 * 9)
    wanted = 4 * 40 * (12e-3 * ops / timed_ops + attends) + decode
    assert clip_seconds(times, preset, "fp8", "sdpa") == pytest.approx(wanted, abs=0.06)
    assert clip_seconds(times, preset, "fp8", "another") is None
    assert clip_seconds(KernelTimes(times.rows[:-1]), preset, "fp8", "sdpa") is None


# ---- the file ------------------------------------------------------------------------------


def test_what_was_found_is_kept_for_this_machine_only(tmp_path: Path) -> None:
    file, times = (
        tmp_path / "cache" / "t.json",
        KernelTimes((row("linear", "a", 1.5), row("decode", "b", None, None))),
    )
    keep(file, "here", times)
    assert kept(file, "here") == times
    assert kept(file, "another driver") is None
    for number in range(MOST_KEPT):
        keep(file, f"other {number}", KernelTimes())
    assert kept(file, "here") is None
    assert len(json.loads(file.read_text(encoding="utf-8"))) == MOST_KEPT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"here": 3}',
        '{"here": [{"what": "else"}]}',
        '{"here": [3]}',
        '{"here": null}',
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.json"
    file.write_text(text, encoding="utf-8")
    assert kept(file, "here") is None
    keep(file, "here", KernelTimes())
    assert kept(file, "here") == KernelTimes()
