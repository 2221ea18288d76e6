"""After an out-of-memory: what is tried next, and how it is told. Pure functions."""

from collections.abc import Callable, Iterator

from engine.plan.choice import Choice, Plan, Value
from engine.plan.lightx2v import ROPE_CHUNK, SMALL_ROPE_CHUNK
from engine.stages import Memory, Stage

Fallback = tuple[str, Choice]
Allowed = Callable[[str, Value], bool]

DOING = {
    "load": "loading the model",
    "encode": "reading the prompt",
    "denoise": "denoising",
    "decode": "decoding",
    "save": "saving",
}
TRIED = {
    ("decode", "tiled"): "decoding in tiles",
    ("rope_chunk", SMALL_ROPE_CHUNK): "smaller parts in attention's positions",
    ("offload", "block"): "keeping the model's blocks in RAM instead of on the GPU",
    ("offload", "block-exact"): "page-locked memory of exact size",
    ("offload", "lazy"): "reading the model's blocks from disk",
}


def next_fallback(
    plan: Plan,
    stage: Stage | None,
    memory: Memory | None,
    allowed: Allowed = lambda name, value: True,
    where: str = "",
) -> Fallback | None:
    """The next smaller way to run, by which memory ran out and where; None if there is none.

    Args:
        plan: the one that ran.
        stage: None while loading.
        allowed: whether a value can work here and isn't the user's to decide.
        where: the size, for the reason: "720×1280×81".
    """
    for name, value in _ladder(plan, stage, memory):
        if allowed(name, value):
            doing = " ".join(filter(None, (DOING[stage or "load"], where)))
            return name, Choice(value, f"{memory or 'Memory'} ran out while {doing}.")
    return None


def describe_fallback(fallback: Fallback) -> str:
    """Half a sentence: "decoding in tiles (decode: tiled)"."""
    name, choice = fallback
    words = TRIED.get((name, choice.value), "a smaller way")
    return f"{words} ({name}: {choice.value})"


def _ladder(plan: Plan, stage: Stage | None, memory: Memory | None) -> Iterator[tuple[str, Value]]:
    """Smaller values than the plan's, the least costly first."""

    def now(name: str) -> Value | None:
        return plan[name].value if name in plan else None

    on_device = memory in ("VRAM", None) or now("device") == "cpu"
    if not on_device:  # RAM, or Windows' promise of it
        steps = ("block", "block-exact", "lazy")
        if now("offload") in steps:
            for value in steps[steps.index(str(now("offload"))) + 1 :]:
                yield "offload", value
        return
    if stage == "decode" and now("decode") == "whole":
        yield "decode", "tiled"
    chunk = now("rope_chunk")
    if stage == "denoise" and chunk in (0, ROPE_CHUNK):
        yield "rope_chunk", SMALL_ROPE_CHUNK
    if now("offload") == "resident" and now("device") != "cpu":
        yield "offload", "block"
        yield "offload", "block-exact"
        yield "offload", "lazy"
