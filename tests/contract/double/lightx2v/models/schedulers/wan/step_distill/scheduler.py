"""The distilled sampler: a few Euler steps at the timesteps of the training."""

from typing import Any

import torch
from lightx2v_platform.base.global_var import AI_DEVICE

from .....common.ops.utils import DTYPE

TRAINED = 1000  # timesteps


class WanStepDistillScheduler:
    """Fault: reads ``target_video_length`` without needing it (scheduler.py:16, #1086)."""

    latents: torch.Tensor
    noise_pred: torch.Tensor
    timesteps: torch.Tensor
    sigmas: torch.Tensor
    timestep_input: torch.Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.target_video_length = config["target_video_length"]
        self.denoising_step_list: list[int] = config["denoising_step_list"]
        self.infer_steps = len(self.denoising_step_list)
        self.sample_shift = config["sample_shift"]
        self.generator: torch.Generator | None = None
        self.step_index = 0

    def prepare(self, seed: int, latent_shape: list[int]) -> None:
        """Fault: a generator that an exception left here wins over the seed."""
        if self.generator is None:
            self.generator = torch.Generator(AI_DEVICE).manual_seed(seed)
        self.latents = torch.randn(latent_shape, generator=self.generator, device=AI_DEVICE)
        sigmas = torch.linspace(1, 0, TRAINED + 1)[:-1]
        sigmas = self.sample_shift * sigmas / (1 + (self.sample_shift - 1) * sigmas)
        self.sigmas = sigmas[[TRAINED - step for step in self.denoising_step_list]]
        self.timesteps = (self.sigmas * TRAINED).to(AI_DEVICE)

    def step_pre(self, step_index: int) -> None:
        self.step_index = step_index
        self.latents = self.latents.to(DTYPE)
        self.timestep_input = self.timesteps[step_index : step_index + 1]

    def step_post(self) -> None:
        following = 0.0
        if self.step_index < self.infer_steps - 1:
            following = float(self.sigmas[self.step_index + 1])
        move = (following - float(self.sigmas[self.step_index])) * self.noise_pred.float()
        self.latents = (self.latents.float() + move).to(self.latents.dtype)

    def clear(self) -> None:
        self.generator = None
        self.step_index = 0
        for name in ("latents", "noise_pred", "sigmas", "timesteps", "timestep_input"):
            setattr(self, name, None)


class Wan22StepDistillScheduler(WanStepDistillScheduler):
    """Of two transformers. Fault: looks up the noise of the second one's first step, and ends in an
    IndexError where a clip has fewer."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.boundary_step_index = config["boundary_step_index"]

    def prepare(self, seed: int, latent_shape: list[int]) -> None:
        super().prepare(seed, latent_shape)
        self.sigma_bound = self.sigmas[self.boundary_step_index].item()
