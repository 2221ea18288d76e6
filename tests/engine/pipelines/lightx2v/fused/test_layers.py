"""Our layers in LightX2V's registries, and how they know of each other."""

import gc
import importlib
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F

from engine.pipelines.lightx2v import ours
from engine.pipelines.lightx2v.fused import layers
from engine.pipelines.lightx2v.fused.layers import AfterGelu, BeforeGate, BeforeGelu
from engine.pipelines.lightx2v.fused.link import link
from engine.plan.kernel_options import FUSED, NORMS

pytest.importorskip("triton", reason="there is no Triton for this machine")

EPS = 1e-6
STORED = {"fp8": (torch.float8_e4m3fn, 448.0), "int8": (torch.int8, 127.0)}


class Register(dict[str, Any]):
    """As LightX2V's: called with a name it gives what registers a class."""

    def __call__(self, name: str) -> Callable[[Any], Any]:
        return lambda target: self.setdefault(name, target)


class Theirs:
    """The parts of LightX2V's quantised matrix that ours builds on."""

    def __init__(self, precision: str, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        dtype, largest = STORED[precision]
        self.weight_scale = weight.abs().amax(1, keepdim=True) / largest
        scaled = weight / self.weight_scale
        self.weight = (scaled.round() if precision == "int8" else scaled).to(dtype)
        self.bias, self.infer_dtype, self.has_lora_branch = bias, torch.bfloat16, False

    def _get_actual_bias(self) -> torch.Tensor | None:
        return self.bias

    def apply_lora(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(-1, keepdim=True).expand(-1, len(self.weight))

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x.float() @ (self.weight.float() * self.weight_scale).T
        return out if self.bias is None else torch.add(out, self.bias)


class TheirNorm:
    eps = EPS

    def __init__(self, weight: torch.Tensor | None = None) -> None:
        self.weight = weight

    def _get_actual_weight(self) -> torch.Tensor | None:
        return self.weight

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (x.shape[-1],), eps=EPS)


class TheirRotation:
    def prepare_freqs(self, freqs: torch.Tensor, rotary_dim: int) -> torch.Tensor:
        assert freqs.shape[-1] == rotary_dim // 2
        return freqs


@pytest.fixture(autouse=True)
def registers(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    def product(*given: Any, output_dtype: torch.dtype) -> torch.Tensor:
        values, weight, *bias, scales, of_weights = given
        out: torch.Tensor = (values.float() * scales[:, None]) @ (weight.float() * of_weights).T
        return (out + (bias[0] if bias else 0)).to(output_dtype)

    made = SimpleNamespace(
        MM_WEIGHT_REGISTER=Register({"fp8-triton": Theirs, "int8-triton": Theirs}),
        ATTN_WEIGHT_REGISTER=Register(torch_sdpa=Theirs),
        RMS_WEIGHT_REGISTER=Register(torch=TheirNorm),
        LN_WEIGHT_REGISTER=Register(torch=TheirNorm),
        ROPE_REGISTER=Register(torch_complex_rope=TheirRotation),
    )
    for name in ("lightx2v", "lightx2v.utils", "lightx2v.common.ops.mm"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    kernels = SimpleNamespace(
        **{f"{kind}_gemm{bias}_triton": product for kind in STORED for bias in ("", "_bias")}
    )
    monkeypatch.setitem(sys.modules, "lightx2v.common.ops.mm.triton_kernels", kernels)
    monkeypatch.setitem(sys.modules, "lightx2v.utils.registry_factory", made)
    ours.register()
    return made


@pytest.fixture(autouse=True)
def quantised(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What was quantised, in its order; by PyTorch, as Triton's interpreter rounds FP8 wrongly."""
    seen: list[torch.Tensor] = []

    def plainly(x: torch.Tensor, dtype: torch.dtype, gelu: bool = False) -> Any:
        seen.append(x)
        value = (F.gelu(x, approximate="tanh") if gelu else x).float()
        largest = 127 if dtype == torch.int8 else 448
        scales = value.abs().amax(1) / largest
        scaled = value / scales[:, None]
        return (scaled.round() if dtype == torch.int8 else scaled).to(dtype), scales

    monkeypatch.setattr(importlib.import_module(layers.ROWS), "quantised", plainly)
    return seen


def drawn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def layer(
    registers: SimpleNamespace, name: str, out: int, into: int, bias: bool = True, seed: int = 5
) -> Any:
    weight, added = drawn(out, into, seed=seed), drawn(out, seed=seed + 1) if bias else None
    return registers.MM_WEIGHT_REGISTER[name](name.partition("-")[0], weight, added)


def close(found: torch.Tensor, wanted: torch.Tensor, least: float = 0.998) -> bool:
    return float(F.cosine_similarity(found.float().flatten(), wanted.flatten(), 0)) > least


# ---- where they stand ----------------------------------------------------------------------


def test_each_stands_beside_theirs_once(registers: SimpleNamespace) -> None:
    before = {name: dict(getattr(registers, name)) for name in vars(registers)}
    ours.register()
    assert {name: dict(getattr(registers, name)) for name in vars(registers)} == before
    assert set(FUSED) < set(registers.MM_WEIGHT_REGISTER)
    for name in ("RMS_WEIGHT_REGISTER", "LN_WEIGHT_REGISTER", "ROPE_REGISTER"):
        assert NORMS in getattr(registers, name)


def test_the_settings_name_one_that_lightx2v_takes(registers: SimpleNamespace) -> None:
    assert ours.scheme_for("fp8-sgl") == "fp8-sgl"
    for name, theirs in ours.GO_BY.items():
        assert ours.scheme_for(name) == theirs
        registers.MM_WEIGHT_REGISTER[theirs] = Theirs
        ours.stand_in(name)
        assert registers.MM_WEIGHT_REGISTER[theirs] is registers.MM_WEIGHT_REGISTER[name]
        assert issubclass(registers.MM_WEIGHT_REGISTER[theirs], Theirs)


def test_one_of_theirs_stands_for_itself(registers: SimpleNamespace) -> None:
    ours.stand_in("fp8-triton")
    assert registers.MM_WEIGHT_REGISTER["fp8-triton"] is Theirs


# ---- products ------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lora", [True, False])
@pytest.mark.parametrize("name", sorted(FUSED))
def test_a_product_is_that_of_the_stored_weights(
    registers: SimpleNamespace, name: str, bias: bool, lora: bool
) -> None:
    matrix = layer(registers, name, 16, 32, bias)
    matrix.has_lora_branch = lora
    x = drawn(5, 32).to(torch.bfloat16)
    wanted = matrix.exact(x) + (matrix.apply_lora(x) if lora else 0)
    for given in (x, x[None]):
        found = matrix.apply(given)
        assert (found.shape, found.dtype, type(found)) == ((5, 16), torch.bfloat16, torch.Tensor)
        assert close(found, wanted)


@pytest.mark.parametrize("name", sorted(FUSED))
def test_three_layers_quantise_what_they_share_once(
    registers: SimpleNamespace, name: str, quantised: list[torch.Tensor]
) -> None:
    q, k, v = (layer(registers, name, 16, 32, seed=seed) for seed in (1, 3, 5))
    q.keeps = k.keeps = True
    x = drawn(5, 32).to(torch.bfloat16)
    for matrix in (q, k, v):
        assert close(matrix.apply(x), matrix.exact(x))
    assert len(quantised) == 1
    v.apply(x)
    assert len(quantised) == 2, "the last of them kept nothing"


def test_what_changed_since_is_quantised_anew(
    registers: SimpleNamespace, quantised: list[torch.Tensor]
) -> None:
    q, k = (layer(registers, "int8-fused-triton", 16, 32) for _ in range(2))
    q.keeps = True
    x = drawn(5, 32).to(torch.bfloat16)
    q.apply(x)
    x.mul_(-2)
    assert close(k.apply(x), k.exact(x))
    q.apply(x)
    other = x.clone()
    assert close(k.apply(other), k.exact(other)), "equal, and another tensor"
    assert len(quantised) == 4


def test_nothing_outlives_its_input(quantised: list[torch.Tensor]) -> None:
    shared, x = layers.Shared(torch.int8), drawn(5, 32).to(torch.bfloat16)
    shared.quantised(x, gelu=False, keep=True)
    assert shared._held is not None
    quantised.clear()
    del x
    gc.collect()
    assert shared._held is None


# ---- a GELU between two of them ------------------------------------------------------------


@pytest.mark.parametrize("lora", [True, False])
def test_a_gelu_is_applied_by_the_layer_after_it(registers: SimpleNamespace, lora: bool) -> None:
    first, second = (layer(registers, "int8-fused-triton", *size) for size in ((48, 16), (16, 48)))
    second.has_lora_branch = lora
    first.before_gelu = True
    x = drawn(5, 16).to(torch.bfloat16)
    waiting = F.gelu(first.apply(x), approximate="tanh")
    assert isinstance(waiting, AfterGelu), "no tensor: nothing else can take it for one"
    between = F.gelu(first.exact(x), approximate="tanh")
    wanted = second.exact(between) + (second.apply_lora(between) if lora else 0)
    assert close(second.apply(waiting), wanted)


def test_for_everything_else_it_is_a_tensor(registers: SimpleNamespace) -> None:
    first = layer(registers, "int8-fused-triton", 48, 16)
    x = drawn(5, 16).to(torch.bfloat16)
    plain = first.apply(x)
    first.before_gelu = True
    out = first.apply(x)
    assert isinstance(out, BeforeGelu)
    for done, wanted in (
        (F.gelu(out), F.gelu(plain)),
        (F.silu(out), F.silu(plain)),
        (out + 1, plain + 1),
        (out.flatten(), plain.flatten()),
    ):
        assert type(done) is torch.Tensor
        assert torch.equal(done, wanted)


# ---- one after the other -------------------------------------------------------------------


def model_of(registers: SimpleNamespace, matrices: str, norms: str) -> SimpleNamespace:
    """A transformer of one block and one buffer, as LightX2V builds them."""

    def block() -> SimpleNamespace:
        def matrix() -> Any:
            return layer(registers, matrices, 16, 16)

        attention = SimpleNamespace(
            **{f"self_attn_{part}": matrix() for part in "qkvo"},
            self_attn_norm_q=registers.RMS_WEIGHT_REGISTER[norms](drawn(16).to(torch.bfloat16)),
            self_attn_norm_k=registers.RMS_WEIGHT_REGISTER[norms](drawn(16).to(torch.bfloat16)),
            norm1=registers.LN_WEIGHT_REGISTER[norms](),
            rope=registers.ROPE_REGISTER["torch_complex_rope" if norms == "torch" else norms](),
        )
        across = SimpleNamespace(**{f"cross_attn_{part}": matrix() for part in "qkvo"})
        forward = SimpleNamespace(
            ffn_0=matrix(), ffn_2=matrix(), norm2=registers.LN_WEIGHT_REGISTER[norms]()
        )
        return SimpleNamespace(compute_phases=[attention, across, forward])

    weights = SimpleNamespace(
        blocks=[block()], offload_block_cuda_buffers=[block()], offload_block_cpu_buffers=None
    )
    infer = SimpleNamespace(modulate_func="theirs")
    return SimpleNamespace(transformer_weights=weights, transformer_infer=infer)


def test_layers_know_of_each_other_in_blocks_and_buffers(registers: SimpleNamespace) -> None:
    model = model_of(registers, "fp8-fused-torch", NORMS)
    link(model)
    weights = model.transformer_weights
    for block in (*weights.blocks, *weights.offload_block_cuda_buffers):
        attention, across, forward = block.compute_phases
        assert attention.self_attn_q.keeps
        assert attention.self_attn_k.keeps
        assert not attention.self_attn_v.keeps
        assert across.cross_attn_k.keeps
        assert not across.cross_attn_v.keeps
        assert forward.ffn_0.before_gelu
        assert not forward.ffn_2.before_gelu
        assert attention.self_attn_o.before_gate
        assert forward.ffn_2.before_gate
        assert not across.cross_attn_o.before_gate
        assert attention.rope.norms == (attention.self_attn_norm_q, attention.self_attn_norm_k)


def test_a_gate_and_a_sum_are_one_pass(
    registers: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By LightX2V's own expression, after attention and after the feed-forward part."""
    model = model_of(registers, "fp8-fused-torch", NORMS)
    attention, _, forward = model.transformer_weights.blocks[0].compute_phases
    x, inputs, gate = (drawn(5, 16, seed=seed).to(torch.bfloat16) for seed in (6, 7, 8))
    gate = gate[:1]
    gated = (attention.self_attn_o, forward.ffn_2)
    wanted = [x.clone().add_(layer.apply(inputs) * gate.squeeze()) for layer in gated]
    link(model)
    rows = importlib.import_module(layers.ROWS)
    added = Mock(wraps=rows.add_gated)
    monkeypatch.setattr(rows, "add_gated", added)
    for layer, right in zip(gated, wanted, strict=True):
        found = x.clone()
        version = found._version
        assert found.add_(layer.apply(inputs) * gate.squeeze()) is found
        assert close(found, right, 0.9999)
        assert found._version > version, "whoever keeps what it was made into has to hear of it"
    assert added.call_count == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda x, y, gate: x.float().add_(y * gate),
        lambda x, y, gate: x.t().contiguous().t().add_(y * gate),
        lambda x, y, gate: x.add_(y * gate[:1]),
        lambda x, y, gate: torch.add(x, y * gate),
        lambda x, y, gate: x.add_(y * gate, alpha=2),
        lambda x, y, gate: x.add_(y),
        lambda x, y, gate: y.to(torch.float32) * gate + x,
    ],
)
def test_before_a_gate_it_is_a_tensor_for_everything_else(
    use: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    x, y = (drawn(5, 16, seed=seed).to(torch.bfloat16) for seed in (1, 2))
    gate = drawn(16, seed=3).to(torch.bfloat16)
    assert torch.equal(use(x.clone(), y.as_subclass(BeforeGate), gate), use(x.clone(), y, gate))


def test_theirs_stay_as_they_are(registers: SimpleNamespace) -> None:
    model = model_of(registers, "fp8-triton", "torch")
    link(model)
    assert model.transformer_infer.modulate_func == "theirs"
    assert "keeps" not in vars(model.transformer_weights.blocks[0].compute_phases[0].self_attn_q)


def test_norms_wait_for_what_comes_after_them(registers: SimpleNamespace) -> None:
    """The same numbers by LightX2V's order of calls, whichever layer does the work."""
    model = model_of(registers, "fp8-fused-torch", NORMS)
    attention = model.transformer_weights.blocks[0].compute_phases[0]
    x, k = (drawn(5, 16, seed=seed).to(torch.bfloat16) for seed in (1, 2))
    angles = torch.rand(5, 1, 4, generator=torch.Generator().manual_seed(3))
    turns = torch.polar(torch.ones_like(angles), angles)

    def turned() -> tuple[torch.Tensor, ...]:
        q_normed = attention.self_attn_norm_q.apply(x.clone()).view(5, 2, 8)
        k_normed = attention.self_attn_norm_k.apply(k.clone()).view(5, 2, 8)
        done = attention.rope.apply(q_normed, k_normed, turns)
        return tuple(done)

    apart = turned()
    scale, shift = (drawn(1, 16, seed=seed).to(torch.bfloat16) for seed in (4, 5))
    modulated = attention.norm1.apply(x).float() * (1 + scale.float()) + shift.float()
    link(model)
    for found, wanted in zip(turned(), apart, strict=True):
        torch.testing.assert_close(found, wanted, rtol=2**-6, atol=1e-3)
    modulate = model.transformer_infer.modulate_func
    assert close(modulate(attention.norm1.apply(x), scale=scale, shift=shift), modulated, 0.9999)
