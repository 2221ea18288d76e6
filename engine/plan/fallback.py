"""After an out-of-memory: what is tried next, and how it is told. Pure functions."""

from collections.abc import Callable, Iterator, Mapping

from engine.plan.choice import Choice, Plan, Value
from engine.plan.lightx2v import ROPE_CHUNK, SMALL_ROPE_CHUNK
from engine.stages import STAGES, Memory, Stage
from engine.text import Said, Text

Fallback = tuple[str, Choice]
Allowed = Callable[[str, Value], bool]

DOING: Mapping[Stage, Text] = {stage: Text(f"plan.doing_{stage}") for stage in STAGES}
TRIED: Mapping[tuple[str, Value], Text] = {
    ("decode", "tiled"): Text("plan.try_tiles"),
    ("rope_chunk", SMALL_ROPE_CHUNK): Text("plan.try_smaller_parts"),
    ("offload", "block"): Text("plan.try_blocks_in_ram"),
    ("offload", "block-exact"): Text("plan.try_exact_size"),
    ("offload", "one-expert"): Text("plan.try_one_expert"),
    ("offload", "lazy"): Text("plan.try_from_disk"),
}


def next_fallback(
    plan: Plan,
    stage: Stage | None,
    memory: Memory | None,
    allowed: Allowed = lambda name, value: True,
    where: Said = "",
) -> Fallback | None:
    """The next smaller way to run, by which memory ran out and where; None if there is none.

    Args:
        plan: the one that ran.
        stage: None while loading.
        allowed: whether a value can work here and isn't the user's to decide.
        where: the size, for the reason: "1280 × 720, 5.1 s".
    """
    for name, value in _ladder(plan, stage, memory):
        if allowed(name, value):
            return name, Choice(value, ran_out(memory, stage, where))
    return None


def ran_out(memory: Memory | None, stage: Stage | None, where: Said = "") -> Text:
    """Which memory, in which stage, at which size: one sentence.

    Args:
        stage: None while loading.
        where: the size, or "".
    """
    doing = DOING[stage or "load"]
    if where:
        doing = Text("plan.at_size", doing=doing, size=where)
    which = Text("plan.memory") if memory is None else Text(f"plan.memory_{memory.lower()}")
    return Text("plan.ran_out", memory=which, doing=doing)


def describe_fallback(fallback: Fallback) -> Text:
    """Half a sentence: "decoding in tiles (decode: tiled)"."""
    name, choice = fallback
    how = TRIED.get((name, choice.value), Text("plan.try_smaller"))
    return Text("plan.fallback", how=how, name=name, value=choice.value)


def _ladder(plan: Plan, stage: Stage | None, memory: Memory | None) -> Iterator[tuple[str, Value]]:
    """Smaller values than the plan's, the least costly first."""

    def now(name: str) -> Value | None:
        return plan[name].value if name in plan else None

    on_device = memory in ("VRAM", None) or now("device") == "cpu"
    if not on_device:  # RAM, or Windows' promise of it
        steps = ("block", "block-exact", "one-expert", "lazy")
        if now("offload") in steps:
            for value in steps[steps.index(str(now("offload"))) + 1 :]:
                yield "offload", value
        return
    if stage in ("picture", "decode") and now("decode") == "whole":  # the VAE, there and back
        yield "decode", "tiled"
    chunk = now("rope_chunk")
    if stage == "denoise" and chunk in (0, ROPE_CHUNK):
        yield "rope_chunk", SMALL_ROPE_CHUNK
    if now("offload") == "resident" and now("device") != "cpu":
        yield "offload", "block"
        yield "offload", "block-exact"
        yield "offload", "one-expert"
        yield "offload", "lazy"
