"""Asks LightX2V for one clip, and has it sampled as that clip has to be."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.pipelines.lightx2v.settings import target
from engine.presets import ModelPreset
from engine.request import ClipRequest

CHANGED = ("denoising_step_list", "infer_steps", "sample_shift", "boundary_step_index")


def ask(pipe: Any, request: ClipRequest, seed: int, task: str, **more: object) -> Any:
    """What ``LightX2VPipeline.generate`` returns for ``request``; it writes no file."""
    pipe.modify_config(target(request.size))
    return pipe.generate(
        task=task,
        seed=seed,
        prompt=request.prompt,
        negative_prompt="",
        save_result_path=None,  # the worker writes the clip
        target_shape=[request.height, request.width],
        **more,
    )


@contextmanager
def sampling(
    scheduler: Any, preset: ModelPreset, steps: int, ends_with_picture: bool
) -> Iterator[None]:
    """Within it ``scheduler``, where LightX2V keeps both, takes ``steps`` (a probe fewer than a
    clip) and, where a clip also ends with a picture, the shift for that."""
    before = {name: getattr(scheduler, name) for name in CHANGED if hasattr(scheduler, name)}
    scheduler.denoising_step_list = list(preset.denoising_steps[:steps])
    scheduler.infer_steps = len(scheduler.denoising_step_list)
    if ends_with_picture and preset.last_shift is not None:
        scheduler.sample_shift = preset.last_shift
    if preset.boundary_step is not None:
        # It looks up that step's noise, to no purpose here: of a probe's one step an IndexError
        # (step_distill/scheduler.py:77).
        scheduler.boundary_step_index = min(preset.boundary_step, steps - 1)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(scheduler, name, value)
