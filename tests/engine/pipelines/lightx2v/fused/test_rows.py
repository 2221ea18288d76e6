"""Our Triton kernels in Triton's interpreter, beside the plain expressions that they stand for."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton", reason="there is no Triton for this machine")

rows: Any = pytest.importorskip("engine.pipelines.lightx2v.fused.rows")

EPS = 1e-6
HEADS, HEAD = 5, 12
WIDTH = HEADS * HEAD  # 60: a block is 64, and what is beyond the row isn't its own


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """To bfloat16's last bits: what is rounded twice, or summed in another order, differs there."""
    torch.testing.assert_close(found, wanted, rtol=2**-6, atol=1e-3)


def drawn(*size: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=random).to(torch.bfloat16)


def activations() -> torch.Tensor:
    """Rows of other sizes, one with a value that outlies, one of zeros."""
    x = drawn(7, WIDTH) * torch.logspace(-3, 3, 7)[:, None].to(torch.bfloat16)
    x[2, 3] *= 50
    x[4] = 0
    return x


@pytest.mark.filterwarnings(
    "ignore:overflow encountered in exp"
)  # a sigmoid of what is far below 0
@pytest.mark.parametrize("gelu", [False, True])
def test_int8_is_the_nearest_in_steps_of_its_row(gelu: bool) -> None:
    x = activations()
    values, scales = rows.quantised(x, torch.int8, gelu)
    wanted = (F.gelu(x, approximate="tanh") if gelu else x).float()
    assert (values.dtype, scales.dtype, scales.shape) == (torch.int8, torch.float32, (7,))
    assert torch.allclose(scales, wanted.abs().amax(1).clamp(min=1e-8) / 127, rtol=1e-2)
    steps = wanted / scales[:, None]
    # LightX2V's own cuts off, by up to a whole step.
    assert (values.float() - steps).abs().max() < (1.5 if gelu else 0.5 + 1e-4)
    assert values.float().abs().amax(1).tolist() == [127, 127, 127, 127, 0, 127, 127]


def test_fp8_is_what_pytorch_makes_of_the_scaled_row() -> None:
    x = activations()
    values, scales = rows.quantised(x, torch.float8_e4m3fn)
    scaled = (x.float() / scales[:, None]).clamp(-448, 448)
    wanted = scaled.to(torch.float8_e4m3fn).float()
    # The interpreter's cast forgets the carry where rounding ends at a power of two, and what is
    # below FP8's normal numbers; on an H200 every value was PyTorch's.
    carried = (torch.frexp(wanted).mantissa.abs() == 0.5) | (scaled.abs() < 2**-6)
    compared = ~carried | (wanted == scaled)
    assert compared.float().mean() > 0.8
    found = values.float()[compared]
    # A tie may go either way.
    assert ((found - scaled[compared]).abs() <= (wanted - scaled)[compared].abs() + 1e-3).all()
    assert scales[0] == pytest.approx(float(x[0].float().abs().max()) / 448)


def test_a_row_is_normed_as_lightx2v_norms_it() -> None:
    x, weight = activations(), drawn(WIDTH, seed=1)
    exact = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + EPS)
    assert_same(rows.normalised(x, weight, EPS), exact.to(torch.bfloat16) * weight)


@pytest.mark.parametrize("normed", [False, True])
def test_pairs_are_turned_where_they_are(normed: bool) -> None:
    x, weight = drawn(7, HEADS, HEAD), drawn(WIDTH, seed=1)
    angles = torch.rand(7, HEAD // 2, generator=torch.Generator().manual_seed(2)) * 6
    turns = torch.polar(torch.ones_like(angles), angles)
    before = rows.normalised(x.flatten(1), weight, EPS).view_as(x) if normed else x.clone()
    pairs = torch.view_as_complex(before.float().reshape(7, HEADS, HEAD // 2, 2))
    wanted = torch.view_as_real(pairs * turns[:, None]).flatten(-2).to(torch.bfloat16)
    found = rows.turned(x, weight if normed else None, turns, EPS)
    assert found.data_ptr() == x.data_ptr()
    assert_same(found, wanted)


def test_a_row_is_normed_scaled_and_shifted() -> None:
    x, scale, shift = activations(), drawn(WIDTH, seed=1), drawn(WIDTH, seed=2)
    wanted = F.layer_norm(x.float(), (WIDTH,), eps=EPS) * (1 + scale.float()) + shift.float()
    found = rows.shifted(x, scale, shift, EPS)
    assert_same(found, wanted.to(torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_what_lies_apart_in_memory_is_read_as_it_is(dtype: torch.dtype) -> None:
    wide = drawn(7, 2 * WIDTH)
    found, whole = rows.quantised(wide[:, ::2], dtype), rows.quantised(wide[:, ::2].clone(), dtype)
    assert torch.equal(found[0].float(), whole[0].float())
    assert torch.equal(found[1], whole[1])


def test_what_is_gated_is_added() -> None:
    """On a GPU with PyTorch's own bits; the interpreter cuts bfloat16 off instead of rounding."""
    x, y, gate = activations(), drawn(7, WIDTH, seed=1), drawn(WIDTH, seed=2)
    exact, terms = x.float() + y.float() * gate.float(), x.abs() + (y * gate).abs()
    found = x.clone()
    assert rows.add_gated(found, y, gate) is found
    assert ((found.float() - exact).abs() <= 2**-6 * terms.float()).all()
