"""Latents to frames: each leaves the GPU as it is decoded, as bytes and with a look at it."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import torch

from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v.tiny_vae import TinyVae
from engine.plan.choice import Plan
from engine.stages import Frames
from engine.text import Text

CONVERTED_AT_ONCE = 4  # frames: as many as the decoder gives for one latent frame
BLACK = 2  # a clip that never gets brighter than this (of 255) isn't a dark scene but a fault


def lay_out(network: torch.nn.Module) -> None:
    """Keep the convolutions' weights with channels last, as cuDNN reads them: it would else turn
    every tensor around, before and after. A 480p clip is decoded in 1.65 s instead of 2.08 (H200),
    with the same rounding. LightX2V's own switch for it leaves out the two-dimensional ones.
    """
    for part in network.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.weight.data = part.weight.data.to(memory_format=torch.channels_last_3d)
        elif isinstance(part, torch.nn.Conv2d):
            part.weight.data = part.weight.data.to(memory_format=torch.channels_last)


def collect(
    vae: Any,
    latents: torch.Tensor,
    plan: Plan,
    done: Callable[[float], None],
    fresh: Callable[[Frames], None] = lambda _: None,
    tiny: TinyVae | None = None,
) -> Frames:
    """Decode in tiles, whole or by the tiny VAE, as ``plan`` says.

    Args:
        vae: LightX2V's.
        latents: [1, 16, latent frames, height / 8, width / 8].
        done: hears which share of the frames is there.
        fresh: hears those that have come.
        tiny: where the plan says so.

    Returns:
        uint8 [frames, height, width, 3].

    Raises:
        PipelineError: there are values that are no numbers.
    """
    _, _, count, height, width = latents.shape
    frames = np.empty((4 * (count - 1) + 1, 8 * height, 8 * width, 3), np.uint8)
    pieces: Iterable[torch.Tensor]
    if tiny is not None:
        pieces = tiny.stream(latents, vae)
    elif plan["decode"].value == "tiled":
        pieces = [vae.model.tiled_decode(latents, vae.scale)]
    else:
        pieces = vae.model.decode_stream(latents, vae.scale)
    filled = 0
    # In tiles the whole clip comes as one piece, which is only converted part by part.
    for given in (part for piece in pieces for part in torch.split(piece[0], CONVERTED_AT_ONCE, 1)):
        values = given.float()
        if not bool(torch.isfinite(values).all()):
            raise _silent_failure("nan", plan)
        pixels = ((values.clamp(-1, 1) + 1) * 127.5).round().byte()
        arrived = pixels.permute(1, 2, 3, 0).cpu().numpy()
        part = frames[filled : filled + len(arrived)]
        part[:] = arrived
        fresh(part)
        filled += len(arrived)
        done(filled / len(frames))
    return frames


def refuse_black(frames: Frames, plan: Plan) -> None:
    """Raises PipelineError for a clip in which nothing can be seen."""
    if int(frames.max()) <= BLACK:
        raise _silent_failure("black", plan)


def _silent_failure(how: Literal["black", "nan"], plan: Plan) -> PipelineError:
    return PipelineError(
        Text(
            f"pipelines.came_out_{how}",
            attention=plan["attention"].value,
            matmul=plan["matmul"].value,
        ),
        Text("pipelines.other_kernels"),
    )
