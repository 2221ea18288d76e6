"""Lets the measurements run through with a tiny model where no GPU is: a typo costs no GPU time.

HEADROOM_GPU_PRETEND=1 and the workspace of tests/contract. What comes out are the right rows
with meaningless figures: torch.cuda's names answer with zeros here.
"""

import contextlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from engine.request import Size

if TYPE_CHECKING:
    from engine.pipelines.cuda import CudaMeter

ON = os.environ.get("HEADROOM_GPU_PRETEND") == "1"
MODEL = "tiny-fp8-text"
I2V = "tiny-i2v"
CHOICES: dict[str, str | int] = {
    "device": "cpu",
    "attention": "torch_sdpa",
    "matmul": "fp8-torchao",
    "text_encoder": "fp8-torchao",
}
DEVICE = "cpu" if ON else "cuda"


def size(real: Size) -> Size:
    """About an eighth of each side, a quarter of the frames; another size stays another one."""
    height, width = (max(32, round(side / 8 / 16) * 16) for side in (real.height, real.width))
    return Size(height, width, 4 * round(real.frames / 16) + 1)


def meter() -> "CudaMeter":
    """``CudaMeter`` over the zeros of ``torch.cuda`` below."""
    from engine.pipelines.cuda import CudaMeter

    made = CudaMeter.__new__(CudaMeter)
    made._handle, made._outside, made.total, made.device = None, 0, 80 * 2**30, "no GPU"
    return made


def stand_in() -> None:
    """Give ``torch.cuda`` answers to everything that the measurements ask."""
    import torch

    cuda: Any = torch.cuda
    nothing: Any = lambda *_, **__: None  # noqa: E731
    zero: Any = lambda *_, **__: 0  # noqa: E731
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        setattr(cuda, name, nothing)
    for name in ("memory_allocated", "memory_reserved"):
        setattr(cuda, name, zero)
        setattr(cuda, f"max_{name}", zero)
    cuda.set_per_process_memory_fraction = nothing
    cuda.host_memory_stats = dict
    cuda.get_device_properties = lambda *_: SimpleNamespace(name="no GPU", total_memory=80 * 2**30)
    cuda.mem_get_info = lambda *_: (2**20, 2**20)
    cuda.Stream = type("Stream", (), {"synchronize": nothing})  # a class: annotations name it
    cuda.stream = lambda _: contextlib.nullcontext()
