"""Triton kernels that read each row of activations once. To be imported where Triton is.

A row is a token's values, contiguous; it is held in registers, so that its norm, its rotation or
its largest value cost no further pass through memory. Sums are in float32.
"""

import torch
import triton
import triton.language as tl

LARGEST = {torch.float8_e4m3fn: 448.0, torch.int8: 127.0}
WARPS = 8


@triton.jit
def _quantise(
    x, out, scales, width,
    largest: tl.constexpr, whole: tl.constexpr, gelu: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < width
    value = tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    if gelu:  # the tanh of PyTorch's approximation as a sigmoid, rounded as it rounds
        value *= tl.sigmoid(1.5957691216057308 * (value + 0.044715 * value * value * value))
        value = value.to(x.dtype.element_ty).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(value)), 1e-8) / largest
    value = tl.minimum(tl.maximum(value / scale, -largest), largest)
    if whole:
        value = tl.where(value >= 0, value + 0.5, value - 0.5)  # the cast cuts off
    tl.store(out + row * width + at, value.to(out.dtype.element_ty), mask=inside)
    tl.store(scales + row, scale)


@triton.jit
def _norm_and_turn(
    x, weight, turns, out, width, head, eps,
    normed: tl.constexpr, turned: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < width
    value = tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    if normed:
        # Rounded where PyTorch's expression rounds.
        value *= tl.rsqrt(tl.sum(value * value) / width + eps)
        value = value.to(x.dtype.element_ty).to(tl.float32)
        value *= tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
        value = value.to(x.dtype.element_ty).to(tl.float32)
    if turned:
        first, second = tl.split(tl.reshape(value, (block // 2, 2)))
        pair = tl.arange(0, block // 2)
        angle = turns + row * head + 2 * (pair % (head // 2))
        cosine = tl.load(angle, mask=pair < width // 2, other=1.0)
        sine = tl.load(angle + 1, mask=pair < width // 2, other=0.0)
        both = tl.join(first * cosine - second * sine, first * sine + second * cosine)
        value = tl.reshape(both, (block,))
    tl.store(out + row * width + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _norm_and_shift(x, scale, shift, out, width, eps, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < width
    value = tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    away = tl.where(inside, value - tl.sum(value) / width, 0.0)
    value = away * tl.rsqrt(tl.sum(away * away) / width + eps)
    value *= 1.0 + tl.load(scale + at, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(shift + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _add_gated(x, y, gate, width, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    inside = at < width
    value = tl.load(y + row * width + at, mask=inside, other=0.0).to(tl.float32)
    value *= tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
    value = value.to(x.dtype.element_ty).to(tl.float32)  # as PyTorch rounds between
    value += tl.load(x + row * width + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + row * width + at, value.to(x.dtype.element_ty), mask=inside)


def quantised(
    x: torch.Tensor, dtype: torch.dtype, gelu: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """``x`` [rows, width] in ``dtype``, one of LARGEST, and each row's scale, float32 [rows].

    Args:
        gelu: take the GELU of ``x`` (tanh's approximation) instead.
    """
    x = x.contiguous()
    rows, width = x.shape
    out = torch.empty_like(x, dtype=dtype)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    _quantise[(rows,)](
        x,
        out,
        scales,
        width,
        largest=LARGEST[dtype],
        whole=dtype == torch.int8,
        gelu=gelu,
        block=_block(width),
        num_warps=WARPS,
    )
    return out, scales


def normalised(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """The RMS norm of ``x`` [rows, width] times ``weight`` [width]."""
    return _norm(x, weight, None, eps, torch.empty_like(x))


def turned(
    x: torch.Tensor, weight: torch.Tensor | None, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    """``x`` [tokens, heads, head width] after its RMS norm and its rotary position, in its place.

    Args:
        weight: [heads * head width] of the norm, which goes over all heads; None for no norm.
        turns: complex64 [tokens, head width / 2]; pairs that follow one another are turned.
    """
    return _norm(x, weight, torch.view_as_real(turns), eps, x)


def add_gated(x: torch.Tensor, y: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """``x`` plus ``y`` times ``gate``, in the place of ``x``; [rows, width] both, contiguous, and
    [width]."""
    rows, width = x.shape
    _add_gated[(rows,)](x, y, gate, width, block=_block(width), num_warps=WARPS)
    torch.autograd.graph.increment_version(x)
    return x


def shifted(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, eps: float) -> torch.Tensor:
    """The layer norm of ``x`` [rows, width], times 1 + ``scale``, plus ``shift``, both [width]."""
    x = x.contiguous()
    rows, width = x.shape
    out = torch.empty_like(x)
    _norm_and_shift[(rows,)](
        x,
        scale.contiguous(),
        shift.contiguous(),
        out,
        width,
        eps,
        block=_block(width),
        num_warps=WARPS,
    )
    return out


def _norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    turns: torch.Tensor | None,
    eps: float,
    out: torch.Tensor,
) -> torch.Tensor:
    rows, width = len(x), x[0].numel()
    _norm_and_turn[(rows,)](
        x,
        x if weight is None else weight,
        x if turns is None else turns,
        out,
        width,
        x.shape[-1],
        eps,
        normed=weight is not None,
        turned=turns is not None,
        block=_block(width),
        num_warps=WARPS,
    )
    return out


def _block(width: int) -> int:
    return int(triton.next_power_of_2(width))
