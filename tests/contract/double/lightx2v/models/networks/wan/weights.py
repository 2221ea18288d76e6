"""The transformer's weights by their names in the checkpoint."""

from typing import Any

from ....common.ops.attn import torch_sdpa  # noqa: F401
from ....common.ops.mm.mm_weight import MMWeight
from ....common.ops.tensor.tensor import DefaultTensor
from ....common.ops.utils import WeightModule
from ....utils.registry_factory import ATTN_WEIGHT_REGISTER, MM_WEIGHT_REGISTER

Config = dict[str, Any]
Buffers = tuple[bool, bool, bool, str | None]


class Phase(WeightModule):
    """One of the three parts of a block, named as upstream names them."""

    def __init__(self, config: Config, prefix: str, buffers: Buffers) -> None:
        self._scheme = MM_WEIGHT_REGISTER[config.get("dit_quant_scheme", "Default")]
        self._prefix, self._buffers = prefix, buffers

    def linear(self, *names: str) -> None:
        for name in names:
            weight = f"{self._prefix}.{name}"
            matrix = self._scheme(f"{weight}.weight", f"{weight}.bias", *self._buffers)
            setattr(self, name.replace(".", "_"), matrix)

    def tensor(self, *names: str) -> None:
        for name in names:
            held = DefaultTensor(f"{self._prefix}.{name}", *self._buffers)
            setattr(self, name.removesuffix(".weight").replace(".", "_"), held)


class WanSelfAttention(Phase):
    def __init__(self, config: Config, prefix: str, buffers: Buffers) -> None:
        super().__init__(config, prefix, buffers)
        self.tensor("modulation", "self_attn.norm_q.weight", "self_attn.norm_k.weight")
        self.linear(*(f"self_attn.{part}" for part in "qkvo"))
        self.self_attn_1 = ATTN_WEIGHT_REGISTER[config["self_attn_1_type"]]()


class WanCrossAttention(Phase):
    def __init__(self, config: Config, prefix: str, buffers: Buffers) -> None:
        super().__init__(config, prefix, buffers)
        self.tensor("norm3.weight", "norm3.bias")
        self.tensor("cross_attn.norm_q.weight", "cross_attn.norm_k.weight")
        self.linear(*(f"cross_attn.{part}" for part in "qkvo"))
        self.cross_attn_1 = ATTN_WEIGHT_REGISTER[config["cross_attn_1_type"]]()


class WanFFN(Phase):
    def __init__(self, config: Config, prefix: str, buffers: Buffers) -> None:
        super().__init__(config, prefix, buffers)
        self.linear("ffn.0", "ffn.2")


class WanTransformerAttentionBlock(WeightModule):
    def __init__(self, config: Config, index: int, buffers: Buffers) -> None:
        kinds = (WanSelfAttention, WanCrossAttention, WanFFN)
        self.compute_phases: list[Any] = [
            kind(config, f"blocks.{index}", buffers) for kind in kinds
        ]


class WanTransformerWeights(WeightModule):
    """The blocks, and the two buffers that they run from; buffers are loaded first, because
    a block takes its tensors out of the dictionary."""

    def __init__(self, config: Config, lazy_load_path: str | None = None) -> None:
        lazy = lazy_load_path is not None

        def some(count: int, cuda: bool = False, cpu: bool = False) -> list[Any]:
            buffers = (cuda, cpu, lazy, lazy_load_path)
            return [WanTransformerAttentionBlock(config, i, buffers) for i in range(count)]

        assert config["offload_granularity"] == "block"
        self.offload_block_cuda_buffers = some(2, cuda=True)
        if lazy:
            self.offload_block_cpu_buffers = some(2, cpu=True)
        self.blocks = some(config["num_layers"])

    def non_block_weights_to_cpu(self) -> None:
        """Upstream's head, which is one of the pre-weights here."""


class WanPreWeights(WeightModule):
    """What stands before and behind the blocks (upstream in three classes)."""

    def __init__(self) -> None:
        self.patch_weight = DefaultTensor("patch_embedding.weight")
        self.patch_bias = DefaultTensor("patch_embedding.bias")
        self.head_modulation = DefaultTensor("head.modulation")
        self.text_embedding_0 = self._plain("text_embedding.0")
        self.text_embedding_2 = self._plain("text_embedding.2")
        self.time_embedding_0 = self._plain("time_embedding.0")
        self.time_embedding_2 = self._plain("time_embedding.2")
        self.time_projection_1 = self._plain("time_projection.1")
        self.head = self._plain("head.head")

    def _plain(self, name: str) -> MMWeight:
        return MMWeight(f"{name}.weight", f"{name}.bias")
