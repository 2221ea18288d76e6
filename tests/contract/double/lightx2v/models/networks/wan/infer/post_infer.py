"""From tokens to the noise of a latent."""

from typing import Any

import torch

from .pre_infer import PreInferOutput


class WanPostInfer:
    """Has no weights."""

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def infer(self, x: torch.Tensor, pre: PreInferOutput) -> torch.Tensor:
        """[channels, frames, rows x 2, columns x 2]"""
        frames, rows, columns = pre.grid
        patches = x.view(frames, rows, columns, 2, 2, -1)
        return patches.permute(5, 0, 1, 3, 2, 4).reshape(-1, frames, 2 * rows, 2 * columns).float()
