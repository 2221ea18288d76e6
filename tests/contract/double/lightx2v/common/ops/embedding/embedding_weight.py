"""An embedding; it pins by itself."""

from typing import Any

import torch

from ..utils import Stored


class EmbeddingWeightTemplate(Stored):
    """``weight`` [entries, width]."""

    def __init__(self, weight_name: str, *buffers: Any) -> None:
        super().__init__([(weight_name, "weight", False)], *buffers)

    def _create_cpu_pin_weight(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(tensor.shape, pin_memory=True, dtype=tensor.dtype).copy_(tensor)

    def pin(self, tensor: torch.Tensor, transpose: bool) -> torch.Tensor:
        return self._create_cpu_pin_weight(tensor)

    def apply(self, indices: torch.Tensor) -> torch.Tensor:
        weight: torch.Tensor = vars(self)["weight"]
        return weight[indices]
