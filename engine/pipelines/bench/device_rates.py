"""How fast this device multiplies at the model's shapes: no clip can be made in less time."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from engine.errors import first_line
from engine.presets import Architecture

log = logging.getLogger("headroom.floor")

WARM_UP, LEAST, MOST, SECONDS, BATCHES = 3, 5, 200, 0.2, 3
Products = Mapping[str, Callable[[], object]]


@torch.no_grad()
def rates(shape: Architecture, precision: str, tokens: int, device: str) -> dict[str, Any]:
    """Operations a second at the feed-forward part's shape and in attention over ``tokens``.

    Of several ways to multiply the fastest counts, or what follows from it would be no floor.

    Args:
        precision: of the weights: fp8, int8, bf16 or float32.

    Returns:
        ``matrix`` and ``attention`` in FLOP/s, and ``matrix_by``, the product behind the first.
    """
    found: dict[str, float] = {}
    flops = 2.0 * tokens * shape.dim * shape.ffn_dim
    for name, product in _products(shape, precision, tokens, device).items():
        try:
            found[name] = flops / _seconds(product, device)
        except (RuntimeError, NotImplementedError) as error:  # not on this device or system
            log.info("%s: %s", name, first_line(error))
    by = max(found, key=lambda name: found[name])
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    q = torch.randn(1, shape.heads, tokens, shape.dim // shape.heads, device=device, dtype=dtype)
    attend = torch.nn.functional.scaled_dot_product_attention
    seconds = _seconds(lambda: attend(q, q, q), device)
    attention = 4.0 * tokens * tokens * shape.dim / seconds
    return {"matrix": found[by], "matrix_by": by, "attention": attention, "all": found}


def _products(shape: Architecture, precision: str, tokens: int, device: str) -> Products:
    """[tokens, dim] times [dim, ffn_dim] in each way that torch has for ``precision``."""
    dim, out = shape.dim, shape.ffn_dim
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    x = torch.randn(tokens, dim, device=device, dtype=dtype)
    w = torch.randn(out, dim, device=device, dtype=dtype)
    if precision == "float32":
        return {"float32": lambda: x @ w.T}
    found: dict[str, Callable[[], object]] = {"bf16": lambda: x @ w.T}
    if precision == "int8":
        x8, w8 = (x * 40).clamp(-127, 127).to(torch.int8), (w * 40).clamp(-127, 127).to(torch.int8)
        found["int8"] = lambda: torch._int_mm(x8, w8.t())
    if precision == "fp8":
        xf, wf = x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn).t()
        rows = torch.ones(tokens, 1, device=device), torch.ones(1, out, device=device)
        one = torch.ones((), device=device), torch.ones((), device=device)
        # A scale a row is what the model's kernels do; torch for Windows has one for all only.
        for name, (a, b) in (("fp8, a scale a row", rows), ("fp8, one scale", one)):
            found[name] = lambda a=a, b=b: torch._scaled_mm(  # type: ignore[misc]
                xf, wf, scale_a=a, scale_b=b, out_dtype=torch.bfloat16, use_fast_accum=True
            )
    return found


def _seconds(run: Callable[[], object], device: str) -> float:
    """Of one call: the best of some batches of SECONDS, as others' work only adds to it."""
    for _ in range(WARM_UP):
        run()
    once = _timed(run, 1, device)
    count = max(LEAST, min(MOST, round(SECONDS / max(once, 1e-6))))
    return min(_timed(run, count, device) for _ in range(BATCHES))


def _timed(run: Callable[[], object], count: int, device: str) -> float:
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(count):
        run()
    wait()
    return (time.perf_counter() - began) / count
