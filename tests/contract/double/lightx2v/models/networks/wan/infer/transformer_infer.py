"""Runs the blocks, each from the buffer that happens to be the first."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from .....common.offload.manager import WeightAsyncStreamManager
from .pre_infer import PreInferOutput


class WanTransformerInfer:
    """One block."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.heads = config["num_heads"]

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        scheduler.transformer_infer = self

    def run_block(
        self, block_idx: int, block: Any, x: torch.Tensor, pre: PreInferOutput
    ) -> torch.Tensor:
        return self.infer_block(block, x, pre)

    def infer_block(self, block: Any, x: torch.Tensor, pre: PreInferOutput) -> torch.Tensor:
        looking, reading, thinking = block.compute_phases
        shifts = (looking.modulation.tensor + pre.embed0).squeeze(0)
        shift, scale, gate, shift2, scale2, gate2 = shifts
        seen = _norm(x) * (1 + scale) + shift
        attended = looking.self_attn_1.apply(
            self._heads(looking.self_attn_q.apply(seen), looking.self_attn_norm_q),
            self._heads(looking.self_attn_k.apply(seen), looking.self_attn_norm_k),
            self._heads(looking.self_attn_v.apply(seen)),
        )
        x = x + looking.self_attn_o.apply(attended) * gate
        asked = _norm(x) * reading.norm3.tensor + reading.norm3_bias.tensor
        attended = reading.cross_attn_1.apply(
            self._heads(reading.cross_attn_q.apply(asked), reading.cross_attn_norm_q),
            self._heads(reading.cross_attn_k.apply(pre.context), reading.cross_attn_norm_k),
            self._heads(reading.cross_attn_v.apply(pre.context)),
        )
        x = x + reading.cross_attn_o.apply(attended)
        inner = thinking.ffn_0.apply(_norm(x) * (1 + scale2) + shift2)
        thought = thinking.ffn_2.apply(F.gelu(inner, approximate="tanh"))
        found: torch.Tensor = x + thought * gate2
        return found

    def _heads(self, x: torch.Tensor, norm: Any = None) -> torch.Tensor:
        if norm is not None:
            x = F.rms_norm(x, (x.shape[-1],), eps=1e-6) * norm.tensor
        return x.view(len(x), self.heads, -1)


class WanOffloadTransformerInfer(WanTransformerInfer):
    """Block by block through the two buffers."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.lazy_load = config.get("lazy_load", False)
        self.offload_manager = WeightAsyncStreamManager("block")

    def infer(self, blocks: Sequence[Any], pre: PreInferOutput) -> torch.Tensor:
        manager, x = self.offload_manager, pre.x
        for index in range(len(blocks)):
            following = (index + 1) % len(blocks)
            if self.lazy_load:
                manager.start_prefetch_block(following)
            if manager.need_init_first_buffer:
                manager.init_first_buffer(blocks)
            if self.lazy_load:
                manager.swap_cpu_buffers()
            manager.prefetch_weights(following, blocks)
            x = self.run_block(index, manager.cuda_buffers[0], x, pre)
            manager.swap_blocks()
        return x


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6)
