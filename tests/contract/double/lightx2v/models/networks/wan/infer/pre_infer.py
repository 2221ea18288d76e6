"""From latents, timestep and text to what the blocks read."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from .....common.ops.utils import DTYPE
from ..weights import WanPreWeights


@dataclass
class PreInferOutput:
    """Tokens [n, dim], the text's [512, dim], the time's embedding and its six shifts and scales;
    ``grid``: frames, rows and columns of tokens."""

    x: torch.Tensor
    context: torch.Tensor
    embed: torch.Tensor
    embed0: torch.Tensor
    grid: tuple[int, int, int]


class WanPreInfer:
    """Fault: ``clean_cuda_cache`` deletes what only image-to-video has made (pre_infer.py:194)."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.task = config, config["task"]
        self.clean_cuda_cache = config.get("clean_cuda_cache", False)

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def infer(self, weights: WanPreWeights, inputs: dict[str, Any]) -> PreInferOutput:
        scheduler, latents = self.scheduler, self.scheduler.latents
        text = inputs["text_encoder_output"]["context"]
        if self.task in ("i2v", "flf2v"):
            latents = torch.cat([latents, inputs["image_encoder_output"]["vae_encoder_out"]])
        patches = F.conv3d(
            latents.unsqueeze(0),
            weights.patch_weight.tensor,
            weights.patch_bias.tensor,
            stride=(1, 2, 2),
        )
        half = self.config["freq_dim"] // 2
        angles = scheduler.timestep_input * torch.exp(
            -math.log(10_000) * torch.arange(half, device=text.device) / half
        )
        wave = torch.cat([angles.cos(), angles.sin()]).unsqueeze(0).to(DTYPE)
        embed = weights.time_embedding_2.apply(F.silu(weights.time_embedding_0.apply(wave)))
        shifts = weights.time_projection_1.apply(F.silu(embed)).view(1, 6, -1)
        told = F.gelu(weights.text_embedding_0.apply(text[0]), approximate="tanh")
        context = weights.text_embedding_2.apply(told)
        if self.task in ("i2v", "flf2v") and self.config["use_image_encoder"]:
            context_clip = context
        if self.clean_cuda_cache and self.config["use_image_encoder"]:
            del context_clip
        _, _, frames, rows, columns = patches.shape
        tokens = patches.flatten(2).squeeze(0).t()
        return PreInferOutput(tokens, context, embed, shifts, (frames, rows, columns))
