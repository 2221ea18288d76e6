"""One tensor as it is; it pins by itself. (Upstream has classes of their own for norms.)"""

from typing import Any

import torch

from ..utils import Stored


class DefaultTensor(Stored):
    """``tensor``."""

    tensor: torch.Tensor

    def __init__(self, tensor_name: str, *buffers: Any) -> None:
        self.tensor_name = tensor_name
        super().__init__([(tensor_name, "tensor", False)], *buffers)

    def _create_cpu_pin_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(tensor.shape, pin_memory=True, dtype=tensor.dtype).copy_(tensor)

    def pin(self, tensor: torch.Tensor, transpose: bool) -> torch.Tensor:
        return self._create_cpu_pin_tensor(tensor)
