"""The transformer: reads its weights, and computes one step's noise."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ....common.ops.utils import DTYPE, State
from .infer.post_infer import WanPostInfer
from .infer.pre_infer import PreInferOutput, WanPreInfer
from .infer.transformer_infer import WanOffloadTransformerInfer
from .weights import WanPreWeights, WanTransformerWeights


class WanModel:
    """Faults: without ``dit_quantized`` FP8 weights become bf16 and their scales are ignored; a
    path in the settings wins over ``model_path``, so that two models may be read from one file;
    after an exception what stands around the blocks stays on the device."""

    scheduler: Any = None

    def __init__(
        self,
        model_path: str,
        config: dict[str, Any],
        device: torch.device,
        model_type: str = "wan2.1",
    ) -> None:
        self.config = config
        lazy = config.get("lazy_load", False)
        quantised = config.get("dit_quantized", False)
        named = config.get("dit_quantized_ckpt" if quantised else "dit_original_ckpt")
        place = Path(named or model_path)
        weights: State = {}
        for file in sorted(place.glob("*.safetensors")) if place.is_dir() else [place]:
            if lazy and file.name.startswith("block_"):
                continue
            for name, tensor in load_file(file).items():
                if lazy and name.startswith("blocks."):
                    continue
                plain = not quantised or tensor.dtype in (torch.float32, torch.float16)
                weights[name] = tensor.to(device, DTYPE) if plain else tensor.to(device)
        self.pre_weight = WanPreWeights()
        self.transformer_weights = WanTransformerWeights(config, str(place) if lazy else None)
        self.pre_weight.load(weights)
        self.transformer_weights.load(weights)
        self.pre_infer = WanPreInfer(config)
        self.post_infer = WanPostInfer()
        assert config["cpu_offload"]  # on upstream's CPU platform weights count as offloaded, too
        self.transformer_infer = WanOffloadTransformerInfer(config)
        manager = self.transformer_infer.offload_manager
        manager.init_cuda_buffer(self.transformer_weights.offload_block_cuda_buffers)
        if lazy:
            manager.init_cpu_buffer(self.transformer_weights.offload_block_cpu_buffers)

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        for part in (self.pre_infer, self.transformer_infer, self.post_infer):
            part.set_scheduler(scheduler)

    @torch.no_grad()
    def infer(self, inputs: dict[str, Any]) -> None:
        self.pre_weight.to_cuda()
        pre = self.pre_infer.infer(self.pre_weight, inputs)
        x = self.transformer_infer.infer(self.transformer_weights.blocks, pre)
        self.scheduler.noise_pred = self.post_infer.infer(self._head(x, pre), pre)
        self.pre_weight.to_cpu()

    def _head(self, x: torch.Tensor, pre: PreInferOutput) -> torch.Tensor:
        """Tokens [n, 4 x channels]."""
        shift, scale = (self.pre_weight.head_modulation.tensor + pre.embed).squeeze(0)
        x = F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift
        return self.pre_weight.head.apply(x)
