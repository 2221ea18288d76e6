"""How a kernel is timed, what it is given, and what its result is held against."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

WARM_UP, LEAST, MOST = 2, 3, 15
SECONDS = 0.2  # of calls that are counted
OUTLIERS, OUTLYING = 0.01, 20.0  # the share of channels, and how many times as large they are
CHECKED = 1024  # rows of a product that float32 computes as well
RUN, UNLIKE = 256, 0.25  # tokens that are alike, and how much of each is its own
QUERIES = 64  # rows of attention that float32 is asked for: a score for every key


@dataclass(frozen=True)
class Trial:
    """A kernel at a shape. ``run`` is one call; ``scale``: of how many times the work it is a
    part."""

    run: Callable[[], object]
    cosine: Callable[[], float]
    scale: float = 1.0


Maker = Callable[[dict[str, Any]], Trial]


def median_milliseconds(run: Callable[[], object], device: str) -> float:
    """Of some calls, once the first ones have compiled, tuned and warmed up."""
    for _ in range(WARM_UP):
        run()
    once = _milliseconds(run, device)
    count = max(LEAST, min(MOST, round(1000 * SECONDS / max(once, 1e-3))))
    return statistics.median(_milliseconds(run, device) for _ in range(count))


def _milliseconds(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        event: Any = torch.cuda.Event
        began, ended = event(enable_timing=True), event(enable_timing=True)
        began.record()
        run()
        ended.record()
        ended.synchronize()
        return float(began.elapsed_time(ended))
    at = time.perf_counter()
    run()
    return (time.perf_counter() - at) * 1000


def activations(tokens: int, channels: int, device: str) -> torch.Tensor:
    """bfloat16 [tokens, channels]."""
    random = torch.Generator(device).manual_seed(0)
    size = tokens, channels
    return torch.randn(size, generator=random, device=device, dtype=torch.bfloat16)


def outlie(x: torch.Tensor) -> None:
    """Make some channels of ``x`` much larger, as they are in real activations."""
    x[:, :: round(1 / OUTLIERS)] *= OUTLYING


def product_cosine(
    product: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, weight: torch.Tensor
) -> float:
    """The lower one of plain and of outlying activations, of ``product`` of all of ``x`` with
    float32's of its first rows; ``weight`` is [out, in]. Leaves ``x`` outlying."""

    def holds() -> float:
        wanted = x[:CHECKED].float() @ weight.t()
        return cosine(product(x)[:CHECKED].float(), wanted)

    plain = holds()
    outlie(x)
    return min(plain, holds())


def queries_keys_values(
    tokens: int, heads: int, head_dim: int, device: str, dtype: torch.dtype, alike: bool = False
) -> list[torch.Tensor]:
    """Each [tokens, heads, head_dim]. Keys share a part, as in real clips, so that what a kernel
    does about that is tried.

    Args:
        alike: tokens that follow one another are alike, as in real clips. Sparse attention counts
            on that: of tokens that have nothing in common even a right kernel makes 0.6.
    """
    random = torch.Generator(device).manual_seed(0)

    def drawn(rows: int) -> torch.Tensor:
        size = rows, heads, head_dim
        return torch.randn(size, generator=random, device=device, dtype=dtype)

    def part() -> torch.Tensor:
        if not alike:
            return drawn(tokens)
        runs = drawn(-(-tokens // RUN)).repeat_interleave(RUN, 0)[:tokens]
        return runs + UNLIKE * drawn(tokens)

    q, k, v = part(), part(), part()
    k += 2 * drawn(1)
    return [q, k, v]


def attention_cosine(
    found: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> float:
    """Cosine of the first rows of ``found`` [tokens, heads × head_dim] with float32's attention."""
    asked, keys, values = (part.float().transpose(0, 1) for part in (q[:QUERIES], k, v))
    scores = asked @ keys.transpose(1, 2) / q.shape[-1] ** 0.5
    wanted = (scores.softmax(-1) @ values).transpose(0, 1).reshape(QUERIES, -1)
    return cosine(found.reshape(q.shape[0], -1)[:QUERIES].float(), wanted)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    # In double: sums of 10^8 squares.
    dot, aa, bb = ((x.double() * y.double()).sum() for x, y in ((a, b), (a, a), (b, b)))
    return float(dot / (aa.sqrt() * bb.sqrt()))
