"""Classes under LightX2V's registries that call the kernels of ``rows``.

Loading, offloading and LoRA are LightX2V's; only what a layer computes with is ours.
"""

import importlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from engine.plan.kernel_options import FUSED, NORMS

ROWS = "engine.pipelines.lightx2v.fused.rows"  # imports Triton


def register() -> None:
    """Put them beside LightX2V's own; does nothing where they stand already. Both norms and the
    rotation are called NORMS there."""
    from lightx2v.utils.registry_factory import (
        LN_WEIGHT_REGISTER,
        MM_WEIGHT_REGISTER,
        RMS_WEIGHT_REGISTER,
        ROPE_REGISTER,
    )

    for name, theirs in FUSED.items():
        if name not in MM_WEIGHT_REGISTER and theirs in MM_WEIGHT_REGISTER:
            MM_WEIGHT_REGISTER(name)(_matmul(MM_WEIGHT_REGISTER[theirs], name))
    for registry, theirs, ours in (
        (RMS_WEIGHT_REGISTER, "torch", _rms_norm),
        (LN_WEIGHT_REGISTER, "torch", _layer_norm),
        (ROPE_REGISTER, "torch_complex_rope", _rotation),
    ):
        if NORMS not in registry and theirs in registry:
            registry(NORMS)(ours(registry[theirs]))


class Shared:
    """The quantised form of one input, for the layers that read the same."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._of: weakref.ref[torch.Tensor] | None = None
        self._version = 0
        self._held: tuple[torch.Tensor, torch.Tensor] | None = None

    def quantised(
        self, x: torch.Tensor, gelu: bool, keep: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and scales of ``x``, or of its GELU.

        Args:
            keep: whether the next layer reads the same. It isn't kept for longer than ``x`` itself.
        """
        same = self._of is not None and self._of() is x and self._version == x._version
        found = self._held if same else None
        if found is None:
            found = importlib.import_module(ROWS).quantised(x, self._dtype, gelu)
        if keep:
            self._of, self._version = weakref.ref(x, self._forget), x._version
            self._held = found
        else:
            self._of = self._held = None
        return found

    def _forget(self, gone: weakref.ref[torch.Tensor]) -> None:
        if gone is self._of:
            self._of = self._held = None


@dataclass(frozen=True)
class AfterGelu:
    """What a GELU of ``values`` would be: the layer that reads it applies it while it quantises, so
    that the largest tensor of a step is never in memory. No tensor, so that nothing else takes it
    for one."""

    values: torch.Tensor


class BeforeGelu(torch.Tensor):
    """Of which a GELU is an ``AfterGelu``; for everything else it is a tensor."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func is F.gelu and kwargs == {"approximate": "tanh"}:
                return AfterGelu(args[0].as_subclass(torch.Tensor))
            return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Gated:
    """What ``values`` times ``gate`` would be: it is added in one pass, without being made."""

    values: torch.Tensor
    gate: torch.Tensor

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        x, *rest = args
        if func is torch.Tensor.add_ and rest and isinstance(rest[0], cls) and not kwargs:
            return rest[0].added_to(x)
        made = [part.values * part.gate if isinstance(part, cls) else part for part in args]
        return func(*made, **(kwargs or {}))

    def added_to(self, x: torch.Tensor) -> torch.Tensor:
        y, gate = self.values, self.gate
        alike = x.shape == y.shape and x.dtype == y.dtype == gate.dtype and x.ndim == 2
        whole = x.is_contiguous() and y.is_contiguous() and gate.is_contiguous()
        if not (alike and whole and gate.shape == x.shape[1:]):
            return x.add_(y * gate)
        added: torch.Tensor = importlib.import_module(ROWS).add_gated(x, y, gate)
        return added


class BeforeGate(torch.Tensor):
    """Which times a gate is ``Gated``; for everything else it is a tensor."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func in MULTIPLIED and isinstance(args[0], cls):
                return Gated(args[0].as_subclass(torch.Tensor), args[1])
            return func(*args, **(kwargs or {}))


MULTIPLIED = (torch.Tensor.mul, torch.Tensor.__mul__, torch.mul)


def _matmul(theirs: Any, name: str) -> Any:
    precision, _, product = name.split("-")
    dtype = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}[precision]
    multiplied = _by_torch if product == "torch" else _by_triton
    shared = Shared(dtype)

    class Fused(theirs):  # type: ignore[misc]
        """Rows are quantised in one kernel and with float32 scales.

        ``keeps``: the next layer has the same input. ``before_gelu``: a GELU comes next, and then
        a layer like this. ``before_gate``: what comes out is multiplied by a gate and added.
        """

        keeps = before_gelu = before_gate = False

        def apply(self, input_tensor: torch.Tensor | AfterGelu) -> Any:
            if isinstance(input_tensor, AfterGelu):
                x, gelu = input_tensor.values, True
            else:
                x, gelu = input_tensor, False
            if torch.compiler.is_compiling() and not gelu:
                return super().apply(x)
            x = x if x.ndim == 2 else x.flatten(0, -2)
            values, scales = shared.quantised(x, gelu, self.keeps)
            out = multiplied(precision, values, scales, self)
            if self.has_lora_branch:
                out = out + self.apply_lora(F.gelu(x, approximate="tanh") if gelu else x)
            if self.before_gate:
                return out.as_subclass(BeforeGate)
            return out.as_subclass(BeforeGelu) if self.before_gelu else out

    return Fused


def _by_triton(
    precision: str, values: torch.Tensor, scales: torch.Tensor, matrix: Any
) -> torch.Tensor:
    """LightX2V's own product, tuned at each new shape."""
    kernels: Any = importlib.import_module("lightx2v.common.ops.mm.triton_kernels")
    given = scales, matrix.weight_scale
    if matrix.bias is None:
        product: Callable[..., torch.Tensor] = getattr(kernels, f"{precision}_gemm_triton")
        return product(values, matrix.weight, *given, output_dtype=matrix.infer_dtype)
    product = getattr(kernels, f"{precision}_gemm_bias_triton")
    bias = matrix._get_actual_bias()
    return product(values, matrix.weight, bias, *given, output_dtype=matrix.infer_dtype)


def _by_torch(
    _precision: str, values: torch.Tensor, scales: torch.Tensor, matrix: Any
) -> torch.Tensor:
    bias = matrix._get_actual_bias() if matrix.bias is not None else None
    return torch._scaled_mm(
        values,
        matrix.weight.t(),
        scale_a=scales[:, None],
        scale_b=matrix.weight_scale.float().reshape(1, -1),
        bias=None if bias is None else bias.to(matrix.infer_dtype),
        out_dtype=matrix.infer_dtype,
        use_fast_accum=True,
    )


def _rms_norm(theirs: Any) -> Any:
    class FusedRmsNorm(theirs):  # type: ignore[misc]
        """``waits``: the rotation that comes next does it as well."""

        waits = False

        def apply(self, input_tensor: torch.Tensor) -> Any:
            if self.waits:
                return input_tensor
            rows = importlib.import_module(ROWS)
            return rows.normalised(input_tensor.contiguous(), self._get_actual_weight(), self.eps)

    return FusedRmsNorm


def _layer_norm(theirs: Any) -> Any:
    class FusedLayerNorm(theirs):  # type: ignore[misc]
        """``waits``: the scale and shift that come next do it as well."""

        waits = False

        def apply(self, input_tensor: torch.Tensor) -> Any:
            return input_tensor if self.waits else super().apply(input_tensor)

    return FusedLayerNorm


def _rotation(theirs: Any) -> Any:
    class FusedRotation(theirs):  # type: ignore[misc]
        """``norms``: of queries and keys, which wait for this."""

        norms: tuple[Any, Any] | None = None

        def apply(self, q: torch.Tensor, k: torch.Tensor, freqs: Any, **more: Any) -> Any:
            turns = self.prepare_freqs(freqs, rotary_dim=q.shape[-1]).flatten(0, -2).contiguous()
            rows = importlib.import_module(ROWS)
            done = []
            for x, norm in zip((q, k), self.norms or (None, None), strict=True):
                weight = None if norm is None else norm._get_actual_weight()
                eps = 0.0 if norm is None else norm.eps
                done.append(rows.turned(x.contiguous(), weight, turns, eps))
            return tuple(done)

    return FusedRotation
