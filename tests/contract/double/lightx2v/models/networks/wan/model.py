"""The transformer: reads its weights, and computes one step's noise."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ....common.ops.utils import DTYPE, State
from .infer.pre_infer import PreInferOutput, WanPreInfer
from .infer.transformer_infer import WanOffloadTransformerInfer
from .weights import WanPreWeights, WanTransformerWeights


class WanDistillModel:
    """Fault: without ``dit_quantized`` FP8 weights become bf16 and their scales are ignored."""

    scheduler: Any = None

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        self.config = config
        lazy = config.get("lazy_load", False)
        quantised = config.get("dit_quantized", False)
        place = Path(config["dit_quantized_ckpt" if quantised else "dit_original_ckpt"])
        weights: State = {}
        for file in sorted(place.glob("*.safetensors")) if place.is_dir() else [place]:
            if lazy and file.name.startswith("block_"):
                continue
            for name, tensor in load_file(file).items():
                plain = not quantised or tensor.dtype in (torch.float32, torch.float16)
                weights[name] = tensor.to(device, DTYPE) if plain else tensor.to(device)
        self.pre_weight = WanPreWeights()
        self.transformer_weights = WanTransformerWeights(config, str(place) if lazy else None)
        self.pre_weight.load(weights)
        self.transformer_weights.load(weights)
        self.pre_infer = WanPreInfer(config)
        assert config["cpu_offload"]  # on upstream's CPU platform weights count as offloaded, too
        self.transformer_infer = WanOffloadTransformerInfer(config)
        manager = self.transformer_infer.offload_manager
        manager.init_cuda_buffer(self.transformer_weights.offload_block_cuda_buffers)
        if lazy:
            manager.init_cpu_buffer(self.transformer_weights.offload_block_cpu_buffers)

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    @torch.no_grad()
    def infer(self, inputs: dict[str, Any]) -> None:
        self.pre_weight.to_cuda()
        text = inputs["text_encoder_output"]["context"]
        pre = self.pre_infer.infer(self.pre_weight, self.scheduler, text)
        x = self.transformer_infer.infer(self.transformer_weights.blocks, pre)
        self.scheduler.noise_pred = self._head(x, pre)

    def _head(self, x: torch.Tensor, pre: PreInferOutput) -> torch.Tensor:
        """[channels, frames, rows x 2, columns x 2]"""
        shift, scale = (self.pre_weight.head_modulation.tensor + pre.embed).squeeze(0)
        x = F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift
        frames, rows, columns = pre.grid
        patches = self.pre_weight.head.apply(x).view(frames, rows, columns, 2, 2, -1)
        return patches.permute(5, 0, 1, 3, 2, 4).reshape(-1, frames, 2 * rows, 2 * columns).float()
