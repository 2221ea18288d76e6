"""How long a clip will probably take here, from runs on other cards, and on what that rests."""

from dataclasses import dataclass

from engine.nvml import GpuSample
from engine.presets import ModelPreset, Reference


@dataclass(frozen=True)
class Estimate:
    """``seconds`` of a clip of the model's baseline size; ``basis`` names the run behind it."""

    seconds: float
    basis: str


def estimate(preset: ModelPreset, gpu: GpuSample, runs: tuple[Reference, ...]) -> Estimate | None:
    """From a run of the same size on a card of the same compute capability, by the number of cores.

    None where there is no such run: between generations cores don't compare, and a figure that
    rests on nothing is worse than none. The clock is left out: within a generation it differs by a
    few percent.
    """
    shape = preset.memory.baseline
    for run in runs:
        clip = run.clip
        if clip is None or run.model != preset.id or gpu.capability != clip.capability:
            continue
        if (clip.height, clip.width, clip.frames) != (shape.height, shape.width, shape.frames):
            continue
        if not gpu.cores:
            continue
        basis = (
            f"{clip.seconds:g} s on {run.device} ({run.source}), by its {clip.cores:,} cores and "
            f"{gpu.cores:,} here"
        )
        return Estimate(clip.seconds * clip.cores / gpu.cores, basis)
    return None


def streaming_seconds(blocks: int, bytes_a_second: float, steps: int) -> float:
    """What reading ``blocks`` bytes from disk adds to a clip of ``steps``."""
    return steps * blocks / bytes_a_second if bytes_a_second > 0 else float("inf")


def in_minutes(seconds: float) -> str:
    """To the precision that an estimate has."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{round(seconds / 30) / 2:g} min"
