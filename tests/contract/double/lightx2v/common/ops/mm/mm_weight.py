"""Matrices by the kernel that multiplies with them."""

from typing import Any

import torch

from ....utils.registry_factory import MM_WEIGHT_REGISTER
from ..utils import DTYPE, Attribute, State, Stored

LARGEST_FP8 = 448.0


@MM_WEIGHT_REGISTER("Default")
class MMWeight(Stored):
    """``weight`` [in, out]; its rows follow one another as in the file, [out, in]."""

    weight: torch.Tensor
    bias: torch.Tensor
    as_stored = True

    def __init__(self, weight_name: str, bias_name: str | None = None, *buffers: Any) -> None:
        self.weight_name, self.bias_name = weight_name, bias_name
        super().__init__([(weight_name, "weight", True), *self.further()], *buffers)

    def further(self) -> list[Attribute]:
        return [(self.bias_name, "bias", False)] if self.bias_name else []

    def apply(self, input_tensor: torch.Tensor) -> torch.Tensor:
        bias = self._get_actual_bias()
        product = input_tensor @ self.weight
        return product if bias is None else product + bias

    def _get_actual_bias(self) -> torch.Tensor | None:
        return getattr(self, "bias", None)


class MMWeightQuantTemplate(MMWeight):
    """Eight bits with a scale for each output, [out, 1].

    Fault: without a bias there is no attribute ``bias``, which some kernels read all the same.
    """

    weight_scale: torch.Tensor

    def further(self) -> list[Attribute]:
        name = self.weight_name.removesuffix(".weight") + ".weight_scale"
        return [(name, "weight_scale", False), *super().further()]


@MM_WEIGHT_REGISTER("fp8-torchao")
class MMWeightFp8Torchao(MMWeightQuantTemplate):
    """torch's own kernel; each row of the input gets its scale on the way."""

    def source(self, name: str, weights: State) -> torch.Tensor:
        tensor = super().source(name, weights)
        return tensor.float() if name.endswith("weight_scale") else tensor

    def apply(self, input_tensor: torch.Tensor) -> torch.Tensor:
        largest = input_tensor.abs().amax(-1, keepdim=True).clamp(min=1e-8)
        scale = largest / LARGEST_FP8
        eight_bits = (input_tensor / scale).clamp(-LARGEST_FP8, LARGEST_FP8)
        return torch._scaled_mm(
            eight_bits.to(torch.float8_e4m3fn),
            self.weight,
            scale_a=scale.float(),
            scale_b=self.weight_scale.t(),
            bias=self._get_actual_bias(),
            out_dtype=DTYPE,
        )


class MMWeightMissing(MMWeightQuantTemplate):
    """Made without a word where its package is missing, and no sooner than here does it fail."""

    def apply(self, input_tensor: torch.Tensor) -> torch.Tensor:
        raise TypeError("'NoneType' object is not callable")


for _name in ("fp8-sgl", "fp8-triton", "fp8-q8f", "int8-q8f", "int8-sgl", "int8-triton"):
    MM_WEIGHT_REGISTER[_name] = type(f"MMWeight {_name}", (MMWeightMissing,), {})
