"""What is tried after an out-of-memory, and in which words."""

from collections.abc import Mapping

import pytest

from engine.plan.choice import Choice, Plan
from engine.plan.fallback import describe_fallback, next_fallback, ran_out
from engine.request import Size
from engine.stages import Memory, Stage
from engine.text import NOTHING, Text, plain
from engine.worker.messages import Failed
from engine.worker.outcomes import what_ran_out

USUAL: dict[str, str | int] = {
    "device": "RTX",
    "decode": "whole",
    "rope_chunk": 8192,
    "offload": "block",
}


def plan(**values: str | int) -> Plan:
    return {name: Choice(value, "It is so.") for name, value in {**USUAL, **values}.items()}


@pytest.mark.parametrize(
    ("values", "stage", "memory", "wanted"),
    [
        ({}, "decode", "VRAM", ("decode", "tiled")),
        ({"decode": "tiled"}, "decode", "VRAM", None),
        ({}, "picture", "VRAM", ("decode", "tiled")),
        ({"decode": "tiled"}, "picture", "VRAM", None),
        ({"offload": "resident"}, "decode", "VRAM", ("decode", "tiled")),
        ({"decode": "tiled", "offload": "resident"}, "decode", "VRAM", ("offload", "block")),
        ({}, "denoise", "VRAM", ("rope_chunk", 2048)),
        ({"rope_chunk": 0}, "denoise", "VRAM", ("rope_chunk", 2048)),
        ({"rope_chunk": 2048}, "denoise", "VRAM", None),
        ({"rope_chunk": 2048, "offload": "resident"}, "denoise", "VRAM", ("offload", "block")),
        ({}, "encode", "VRAM", None),
        ({"offload": "resident"}, None, "VRAM", ("offload", "block")),
        ({}, "denoise", "RAM", ("offload", "block-exact")),
        ({"offload": "block-exact"}, None, "RAM", ("offload", "one-expert")),
        ({"offload": "one-expert"}, None, "RAM", ("offload", "lazy")),
        ({"offload": "lazy"}, "encode", "RAM", None),
        ({}, "decode", "commit", ("offload", "block-exact")),
        ({"offload": "resident"}, "decode", "RAM", None),
        ({}, "decode", None, ("decode", "tiled")),
        ({"device": "cpu"}, "decode", "RAM", ("decode", "tiled")),
        ({"device": "cpu", "offload": "resident"}, "encode", "RAM", None),
    ],
)
def test_one_notch_by_memory_and_stage(
    values: Mapping[str, str | int],
    stage: Stage | None,
    memory: Memory | None,
    wanted: tuple[str, object] | None,
) -> None:
    fallback = next_fallback(plan(**values), stage, memory)
    assert (fallback and (fallback[0], fallback[1].value)) == wanted


def test_what_may_not_be_is_passed_over() -> None:
    others = ("block-exact", "one-expert")
    fallback = next_fallback(plan(), None, "RAM", lambda name, value: value not in others)
    assert fallback is not None
    assert fallback[1].value == "lazy"
    assert next_fallback(plan(), None, "RAM", lambda name, value: False) is None


def test_a_plan_without_choices_has_no_notch() -> None:
    assert next_fallback({"device": Choice("cpu", "Small.")}, "decode", "RAM") is None


def test_the_ladder_ends() -> None:
    stages: tuple[Stage, ...] = ("encode", "denoise", "decode")
    memories: tuple[Memory, ...] = ("VRAM", "RAM", "commit")
    for stage in stages:
        for memory in memories:
            now = plan(offload="resident", rope_chunk=0)
            for _ in range(8):
                fallback = next_fallback(now, stage, memory)
                if fallback is None:
                    break
                now = {**now, fallback[0]: fallback[1]}
            else:
                pytest.fail(f"{stage} {memory} goes on for ever")


def test_it_is_told_which_memory_where_and_what_comes() -> None:
    fallback = next_fallback(plan(), "decode", "VRAM", where=Size(720, 1280, 81).text(16))
    assert fallback is not None
    assert str(fallback[1].reason) == "VRAM ran out while decoding 1280 × 720, 5.1 s."
    assert str(describe_fallback(fallback)) == "decoding in tiles (decode: tiled)"
    failed = Failed(1, "out_of_memory", plain("No room."), NOTHING, "denoise", "RAM")
    what = what_ran_out(failed, Size(480, 832, 81).text(16))
    assert str(what) == "No room. RAM ran out while denoising 832 × 480, 5.1 s."


def test_what_ran_out_is_told_by_ids() -> None:
    assert ran_out(None, None) == Text(
        "plan.ran_out", memory=Text("plan.memory"), doing=Text("plan.doing_load")
    )
    assert str(ran_out("commit", "save")) == "Windows commit memory ran out while saving."
    fallback = next_fallback(plan(), "denoise", "VRAM")
    assert fallback is not None
    assert describe_fallback(fallback).values["how"] == Text("plan.try_smaller_parts")
    told = describe_fallback(("kernel", Choice("b", "It is there.")))
    assert str(told) == "a plan that needs less memory (kernel: b)"
