"""UMT5's encoder; offloaded, its blocks come to the device one by one."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightx2v_platform.base.global_var import AI_DEVICE
from torch import nn
from transformers import AutoTokenizer

from ......common.ops.embedding.embedding_weight import EmbeddingWeightTemplate
from ......common.ops.tensor.tensor import DefaultTensor
from ......common.ops.utils import DTYPE, State, WeightModule
from ......utils.registry_factory import MM_WEIGHT_REGISTER


class T5Phase(WeightModule):
    """One of the two parts of a block; upstream has a class for each."""

    def __init__(self, scheme: str, prefix: str, *names: str) -> None:
        for name in names:
            matrix = MM_WEIGHT_REGISTER[scheme](f"{prefix}.{name}.weight")
            setattr(self, name.replace(".", "_"), matrix)


class T5Block(WeightModule):
    """Attention and a gated feed-forward part."""

    def __init__(self, scheme: str, index: int) -> None:
        name = f"blocks.{index}"
        self.norm1 = DefaultTensor(f"{name}.norm1.weight")
        self.norm2 = DefaultTensor(f"{name}.norm2.weight")
        self.pos_embedding = EmbeddingWeightTemplate(f"{name}.pos_embedding.embedding.weight")
        self.compute_phases: list[Any] = [
            T5Phase(scheme, name, *(f"attn.{part}" for part in "qkvo")),
            T5Phase(scheme, name, "ffn.fc1", "ffn.fc2", "ffn.gate.0"),
        ]


class T5Encoder:
    """Fault: ``token_embedding`` goes to the device for a prompt and stays there (model.py:578)."""

    def __init__(self, weights: State, scheme: str, num_heads: int, encoder_layers: int) -> None:
        self.heads = num_heads
        table = weights["token_embedding.weight"]
        self.token_embedding = nn.Embedding(len(table), table.shape[1], _weight=table)
        self.norm = weights["norm.weight"]
        self.blocks = [T5Block(scheme, index) for index in range(encoder_layers)]
        for block in self.blocks:
            block.load(weights)

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[1, tokens] twice -> [tokens, dim]."""
        self.token_embedding = self.token_embedding.to(AI_DEVICE)
        x = self.token_embedding(ids)[0]
        for block in self.blocks:
            block.to_cuda()
            x = self._block(block, x, mask)
        return F.rms_norm(x, self.norm.shape, self.norm.to(x.device), 1e-6)

    def _block(self, block: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        attention, thinking = block.compute_phases
        near = torch.arange(len(x), device=x.device)
        distance = (near[None] - near[:, None]).clamp(-16, 15) + 16
        bias = block.pos_embedding.apply(distance).permute(2, 0, 1)
        bias = bias.masked_fill(mask == 0, -math.inf)
        seen = F.rms_norm(x, block.norm1.tensor.shape, block.norm1.tensor, 1e-6)
        q, k, v = (
            part.apply(seen).view(len(x), self.heads, -1).transpose(0, 1)
            for part in (attention.attn_q, attention.attn_k, attention.attn_v)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        x = x + attention.attn_o.apply(attended.transpose(0, 1).flatten(1))
        seen = F.rms_norm(x, block.norm2.tensor.shape, block.norm2.tensor, 1e-6)
        gate = F.gelu(thinking.ffn_gate_0.apply(seen), approximate="tanh")
        thought: torch.Tensor = thinking.ffn_fc2.apply(thinking.ffn_fc1.apply(seen) * gate)
        return x + thought


def umt5_xxl(weights: State, scheme: str, **settings: int) -> T5Encoder:
    """The encoder at its real size, but for ``settings``."""
    sizes = {"num_heads": 64, "encoder_layers": 24} | settings
    return T5Encoder(weights, scheme, sizes["num_heads"], sizes["encoder_layers"])


class T5EncoderModel:
    """Prompts in, embeddings out."""

    def __init__(self, config: dict[str, Any]) -> None:
        quantised = config.get("t5_quantized", False)
        file = Path(config["t5_quantized_ckpt" if quantised else "t5_original_ckpt"])
        weights: State = torch.load(file, map_location="cpu", weights_only=True)
        scheme = config["t5_quant_scheme"] if quantised else "Default"
        self.cpu_offload = config.get("t5_cpu_offload", config["cpu_offload"])
        self.text_len = config["text_len"]
        self.model = umt5_xxl(weights=weights, scheme=scheme)
        self.tokenizer = AutoTokenizer.from_pretrained(config["t5_tokenizer_path"])

    @torch.no_grad()
    def infer(self, texts: list[str]) -> list[torch.Tensor]:
        """[tokens, dim] for each text."""
        found = []
        for text in texts:
            read = self.tokenizer(
                text,
                padding="max_length",
                truncation=True,
                max_length=self.text_len,
                return_tensors="pt",
            )
            ids, mask = read.input_ids.to(AI_DEVICE), read.attention_mask.to(AI_DEVICE)
            found.append(self.model(ids, mask)[: int(mask.sum())].to(DTYPE))
        return found
