"""Loads Wan 2.2's two transformers, each from its own file, to wait where the plan says."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from engine.pipelines.lightx2v.experts import Experts
from engine.pipelines.lightx2v.one_expert import Merges, OneExpert
from engine.pipelines.lightx2v.pinning import PinnedArena
from engine.plan.host_memory import ONE_EXPERT
from engine.text import Text

NAMES = ("wan2.2_moe_high_noise", "wan2.2_moe_low_noise")  # LightX2V's, in the order of the steps
READING_SECONDS = 120.0  # all of one that isn't a block, and two blocks, from a slow disk


def load_experts(
    runner: Any,
    transformers: Sequence[Path],
    boundary: int,
    offload: str,
    arena: PinnedArena | None,
    merges: Sequence[Merges],
    ready: Callable[[Any, int], Any],
    occupied: Callable[[Text, float], None],
) -> Experts:
    """What ``runner`` calls as its model.

    Args:
        transformers: each one's file or folder, in the order of the steps.
        boundary: the step, from 0, that the second one begins with.
        offload: the plan's.
        arena: where weights of exact size wait; None where they don't.
        merges: what each one's blocks go through where they are read at each change.
        ready: gets each one and its number as it is loaded, and gives it back.
        occupied: hears of a while in which nobody looks for a cancel.
    """
    place = None
    if offload == ONE_EXPERT and arena is not None:
        place = OneExpert(arena, transformers, merges)

    def make(index: int) -> Any:
        occupied(Text("pipelines.reading_expert"), READING_SECONDS)
        with place.loading(index) if place is not None else nullcontext():
            return ready(load_expert(runner, transformers[index], index), index)

    if place is None:
        return Experts(make, boundary, keep=offload != "lazy")
    experts = Experts(make, boundary, keep=True, step=place.step)
    place.attach(*experts.model)
    return experts


def load_expert(runner: Any, transformer: Path, index: int) -> Any:
    """LightX2V's transformer of this number, which computes for ``runner``."""
    from lightx2v.models.networks.wan.distill_model import WanDistillModel

    return WanDistillModel(
        model_path=str(transformer),
        config=runner.config,
        device=runner.init_device,
        model_type=NAMES[index],
    )
