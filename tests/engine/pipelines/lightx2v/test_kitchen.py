"""comfy-kitchen's kernels beside LightX2V's own: what they are given, and where they stand."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from engine.pipelines.lightx2v import kitchen
from engine.pipelines.lightx2v.kitchen import (
    ATTENTION,
    LEAST_KEYS,
    LEAST_SPARSE,
    MATMUL,
    STANDS_FOR,
)
from engine.plan.kernel_options import SPARSE


class Register(dict[str, Any]):
    """As LightX2V's: called with a name it gives what registers a class."""

    def __call__(self, name: str) -> Callable[[Any], Any]:
        return lambda target: self.setdefault(name, target)


class Theirs:
    """The parts of LightX2V's INT8 matrix that ours builds on."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight_scale = weight.abs().amax(1, keepdim=True) / 127
        self.weight = (weight / self.weight_scale).round().to(torch.int8)
        self.bias, self.infer_dtype, self.has_lora_branch = bias, torch.bfloat16, False

    def _get_actual_bias(self) -> torch.Tensor | None:
        return self.bias

    def apply_lora(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(*x.shape[:-1], len(self.weight), dtype=x.dtype)


class Exact:
    def apply(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
        q, k, v = (part.transpose(0, 1) for part in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)


@pytest.fixture
def registers(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(
        MM_WEIGHT_REGISTER=Register({STANDS_FOR: Theirs}),
        ATTN_WEIGHT_REGISTER=Register(torch_sdpa=Exact),
    )
    for name in ("lightx2v", "lightx2v.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "lightx2v.utils.registry_factory", made)
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A comfy-kitchen that computes in floats, and what it was called with."""
    calls: list[dict[str, Any]] = []

    def int8_linear(
        x: torch.Tensor,
        weight: torch.Tensor,
        weight_scale: torch.Tensor,
        bias: torch.Tensor | None = None,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        calls.append({"scale": weight_scale.shape, "bias": bias})
        out = x.float() @ (weight.float() * weight_scale[:, None]).T
        return (out if bias is None else out + bias.float()).to(out_dtype)

    def int8_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        calls.append({"shape": q.shape})
        return F.scaled_dot_product_attention(q, k, v)

    package, attention = ModuleType("comfy_kitchen"), ModuleType("comfy_kitchen.sage_attention")

    def sol_attn(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, tau: float = 1.0
    ) -> torch.Tensor:
        calls.append({"shape": q.shape, "tau": tau})
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)

    package.int8_linear = int8_linear  # type: ignore[attr-defined]
    package.sol_attn = sol_attn  # type: ignore[attr-defined]
    attention.int8_attention = int8_attention  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy_kitchen", package)
    monkeypatch.setitem(sys.modules, "comfy_kitchen.sage_attention", attention)
    return calls


def test_both_stand_beside_theirs_once(registers: SimpleNamespace) -> None:
    for _ in range(2):
        kitchen.register()
    assert set(registers.MM_WEIGHT_REGISTER) == {STANDS_FOR, MATMUL}
    assert set(registers.ATTN_WEIGHT_REGISTER) == {"torch_sdpa", ATTENTION, *SPARSE}
    assert registers.MM_WEIGHT_REGISTER[STANDS_FOR] is Theirs


def test_a_lightx2v_without_int8_kernels_still_works(registers: SimpleNamespace) -> None:
    registers.MM_WEIGHT_REGISTER.clear()
    kitchen.register()
    assert registers.MM_WEIGHT_REGISTER == {}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lora", [True, False])
@pytest.mark.parametrize("batched", [True, False])
def test_a_product_is_that_of_the_stored_weights(
    registers: SimpleNamespace, calls: list[dict[str, Any]], bias: bool, lora: bool, batched: bool
) -> None:
    kitchen.register()
    weight, x = torch.randn(8, 16), torch.randn(5, 16).to(torch.bfloat16)
    added = torch.randn(8) if bias else None  # float32, as LightX2V keeps it for Triton
    matrix = registers.MM_WEIGHT_REGISTER[MATMUL](weight, added)
    matrix.has_lora_branch = lora
    found = matrix.apply(x[None] if batched else x)
    wanted = x.float() @ (matrix.weight.float() * matrix.weight_scale).T
    wanted = wanted + (added if added is not None else 0) + (1 if lora else 0)
    assert found.shape == (5, 8)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), wanted, atol=0.05, rtol=0.02)
    (call,) = calls
    assert call["scale"] == (8,), "flat: as a column it is slower"
    assert call["bias"] is None or call["bias"].dtype == torch.bfloat16


@pytest.mark.parametrize("keys", [512, LEAST_KEYS])
def test_attention_is_exact_on_a_short_text(
    registers: SimpleNamespace, calls: list[dict[str, Any]], keys: int
) -> None:
    kitchen.register()
    q, k, v = torch.randn(6, 2, 64), torch.randn(keys, 2, 64), torch.randn(keys, 2, 64)
    found = registers.ATTN_WEIGHT_REGISTER[ATTENTION]().apply(q, k, v)
    assert torch.allclose(found, Exact().apply(q, k, v), atol=1e-5)
    assert found.shape == (6, 128)
    assert [call["shape"] for call in calls] == ([] if keys == 512 else [(1, 2, 6, 64)])


@pytest.mark.parametrize("name", sorted(SPARSE))
@pytest.mark.parametrize("tokens", [LEAST_SPARSE - 64, LEAST_SPARSE])
def test_a_draft_is_exact_where_it_would_be_slower(
    registers: SimpleNamespace, calls: list[dict[str, Any]], name: str, tokens: int
) -> None:
    kitchen.register()
    q = torch.randn(tokens, 1, 8)
    found = registers.ATTN_WEIGHT_REGISTER[name]().apply(q, q, q)
    assert torch.allclose(found, Exact().apply(q, q, q), atol=1e-5)
    assert found.shape == (tokens, 8)
    asked = {"shape": (1, tokens, 1, 8), "tau": SPARSE[name]}
    assert calls == ([] if tokens < LEAST_SPARSE else [asked])


def test_a_masked_attention_stays_theirs(
    registers: SimpleNamespace, calls: list[dict[str, Any]]
) -> None:
    kitchen.register()
    q = torch.randn(LEAST_KEYS, 1, 64)
    for name in (ATTENTION, *SPARSE):
        registers.ATTN_WEIGHT_REGISTER[name]().apply(q, q, q, attn_mask=torch.ones(1))
    assert calls == []


def test_without_the_package_its_own_words_are_told(registers: SimpleNamespace) -> None:
    kitchen.register()
    matrix = registers.MM_WEIGHT_REGISTER[MATMUL](torch.randn(8, 16), None)
    with pytest.raises(ModuleNotFoundError, match="comfy_kitchen"):
        matrix.apply(torch.randn(5, 16))
