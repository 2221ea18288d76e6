"""comfy-kitchen's kernels under LightX2V's registries: INT8 products and INT8 attention.

Plain wheels for Linux and Windows with kernels for Turing to Blackwell; no compiler takes part. On
GeForce cards since Ada INT8 runs at twice the rate of FP8 with float32 sums.

Classes of ours beside LightX2V's: nothing of theirs is changed or copied.
"""

import importlib
import logging
from typing import Any

import torch

from engine.plan.kernel_options import SPARSE

log = logging.getLogger("headroom.kernels")

MATMUL, ATTENTION = "int8-kitchen", "kitchen_int8"
STANDS_FOR = "int8-triton"  # weights of the same layout
PACKAGE = "comfy_kitchen"
LEAST_SPARSE = 12_000  # tokens, from which on sparse attention is faster
# Below so many keys quantising takes longer than it saves, and there are few: the text's 512.
LEAST_KEYS = 2048


def register() -> None:
    """Put both beside LightX2V's own; does nothing where they stand already."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER, MM_WEIGHT_REGISTER

    if MATMUL not in MM_WEIGHT_REGISTER and STANDS_FOR in MM_WEIGHT_REGISTER:
        MM_WEIGHT_REGISTER(MATMUL)(_matmul(MM_WEIGHT_REGISTER[STANDS_FOR]))
    exact = ATTN_WEIGHT_REGISTER["torch_sdpa"]
    if ATTENTION not in ATTN_WEIGHT_REGISTER:
        ATTN_WEIGHT_REGISTER(ATTENTION)(_attention(exact))
    for name, tau in SPARSE.items():
        if name not in ATTN_WEIGHT_REGISTER:
            ATTN_WEIGHT_REGISTER(name)(_sparse(exact, tau))


def _matmul(theirs: Any) -> Any:
    class Int8Kitchen(theirs):  # type: ignore[misc]
        """INT8 weights with a scale a row, INT8 activations with a scale a token; quantising, sum
        and scales are two kernels. Loading, offloading and LoRA are LightX2V's."""

        def apply(self, input_tensor: torch.Tensor) -> Any:
            linear = importlib.import_module(PACKAGE).int8_linear
            bias = self._get_actual_bias()
            out = linear(
                input_tensor,
                self.weight,
                self.weight_scale.flatten(),  # as a column it is 10 % slower
                None if bias is None else bias.to(self.infer_dtype),
                out_dtype=self.infer_dtype,
            )
            if self.has_lora_branch:
                out = out + self.apply_lora(input_tensor)
            return out.squeeze(0) if out.ndim == 3 else out

    return Int8Kitchen


def _attention(exact: Any) -> Any:
    class Int8Attention(exact):  # type: ignore[misc]
        """Queries, keys, values and weights in INT8, sums in float32; a short text is exact."""

        def apply(
            self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **more: Any
        ) -> Any:
            if k.shape[-3] < LEAST_KEYS or more.get("attn_mask") is not None:
                return super().apply(q, k, v, *rest, **more)
            kernels = importlib.import_module(f"{PACKAGE}.sage_attention")
            heads_first = [
                (part if part.ndim == 4 else part.unsqueeze(0)).transpose(1, 2)
                for part in (q, k, v)
            ]
            out = kernels.int8_attention(*heads_first).transpose(1, 2)
            return out.reshape(*out.shape[:2], -1).squeeze(0)

    return Int8Attention


def _sparse(exact: Any, tau: float) -> Any:
    class SparseAttention(exact):  # type: ignore[misc]
        """Sol-Attn (arXiv 2607.24027): blocks of keys that matter are read exactly, one term stands
        for each of the others. What is short is exact."""

        def apply(
            self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **more: Any
        ) -> Any:
            if k.shape[-3] < LEAST_SPARSE or more.get("attn_mask") is not None:
                return super().apply(q, k, v, *rest, **more)
            sparse = importlib.import_module(PACKAGE).sol_attn
            batched = [part if part.ndim == 4 else part.unsqueeze(0) for part in (q, k, v)]
            out = sparse(*batched, tau=tau)
            return out.reshape(*out.shape[:2], -1).squeeze(0)

    return SparseAttention
