"""Looks at rows of merged tensors: they have to be what file and LoRAs make, but for rounding.

Computed by another way than the merge: from the file, in float64, on the CPU.
"""

from collections.abc import Sequence

import torch

from engine.pipelines.lightx2v.adapters.arithmetic import Product
from engine.pipelines.lightx2v.proof import NotAsPlanned
from engine.text import Text

ROWS = 4  # of each tensor that is looked at
# Half of a step: of what is stored with so many bits behind the first, and where numbers are
# smallest. Scales are kept as bf16, which may push a row's largest value beyond the last step.
STEP = {torch.float8_e4m3fn: 2**-4, torch.bfloat16: 2**-8, torch.float16: 2**-11}
LEAST_STEP = {torch.float8_e4m3fn: 2**-10, torch.int8: 0.5}
SLACK = 1.02


def some_rows(count: int) -> list[int]:
    """The rows of a tensor of ``count`` that are looked at: the first, the last and between."""
    return sorted({index * (count - 1) // max(ROWS - 1, 1) for index in range(ROWS)})


def prove_rows(
    tensor: str,
    rows: Sequence[int],
    held: torch.Tensor,
    scales: torch.Tensor | None,
    stored: torch.Tensor,
    stored_scales: torch.Tensor | None,
    added: Sequence[Product],
) -> None:
    """Compare ``rows`` of ``tensor``.

    Args:
        held, scales: as they are in memory now, [rows, values] and [rows, 1].
        stored, stored_scales: as the file has the same rows.
        added: what was merged, for the whole tensor.

    Raises:
        NotAsPlanned: one isn't what it has to be.
    """
    index = torch.tensor(rows)
    wanted = stored.double() * (1 if stored_scales is None else stored_scales.double())
    for product in added:
        up = product.up[index].double()
        wanted += up if product.down is None else up @ product.down.double()
    found, scale = held.double(), 1.0 if scales is None else scales.double()
    step = wanted.abs() * STEP.get(held.dtype, 2**-20)
    sums = 2**-18 * wanted.abs().amax(1, keepdim=True)  # what float32 may lose of them
    least = torch.maximum(LEAST_STEP.get(held.dtype, 0.0) * torch.as_tensor(scale), sums)
    if not bool(((found * scale - wanted).abs() <= SLACK * torch.maximum(step, least)).all()):
        raise NotAsPlanned(Text("proof.merged_otherwise", place=tensor.removesuffix(".weight")))
