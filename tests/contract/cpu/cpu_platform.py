"""A "cpu" platform for LightX2V, and a UMT5 and a VAE small enough for it.

What this can't show: CUDA's kernels, pinned memory, VRAM, speed.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(PLATFORM="cpu", DTYPE="BF16", SKIP_PLATFORM_CHECK="1")

import torch
from lightx2v_platform.registry_factory import PLATFORM_DEVICE_REGISTER

GIB = 2**30
T5 = {
    "vocab_size": 512,
    "dim": 64,
    "dim_attn": 64,
    "dim_ffn": 128,
    "num_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 2,
}
VAE_DIM = 16


class Stream:
    """Work on a CPU is done when the call returns: there is nothing to wait for."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def synchronize(self) -> None: ...

    def wait_stream(self, *_: Any) -> None: ...

    def wait_event(self, *_: Any) -> None: ...


class Cpu:
    """What LightX2V asks of a platform."""

    name = "cpu"
    init_device_env = staticmethod(lambda: None)
    is_available = staticmethod(lambda: True)
    get_device = staticmethod(lambda: "cpu")
    init_parallel_env = staticmethod(lambda: None)


def _give_torch_cpu_the_names() -> None:
    """``torch.cpu`` stands where LightX2V looks for ``torch.cuda``'s functions."""
    none: Any = lambda *_, **__: None  # noqa: E731
    zero: Any = lambda *_: 0  # noqa: E731
    names: dict[str, Any] = {
        "Stream": Stream,
        "Event": Stream,
        "stream": lambda _: contextlib.nullcontext(),
        "current_stream": lambda *_: Stream(),
        "device": contextlib.nullcontext,
        "mem_get_info": lambda *_: (8 * GIB, 16 * GIB),
        "empty_cache": none,
        "synchronize": none,
        "reset_peak_memory_stats": none,
        "manual_seed": torch.manual_seed,
        "manual_seed_all": torch.manual_seed,
    }
    counters = ("memory_allocated", "memory_reserved")
    names |= dict.fromkeys((*counters, *(f"max_{name}" for name in counters)), zero)
    for name, value in names.items():
        setattr(torch.cpu, name, value)
    # By these a device's context knows what makes tensors; it looks once, and below is another.
    torch.utils._device._device_constructors()
    unpinned = torch.empty

    def empty(*args: Any, pin_memory: bool = False, **kwargs: Any) -> torch.Tensor:
        return unpinned(*args, **kwargs)

    torch.empty = empty  # type: ignore[assignment]
    torch.Tensor.pin_memory = lambda self, *_: self  # type: ignore[method-assign]


def shrink() -> None:
    """UMT5 and the VAE at their tiny sizes, and faults where a test asks for them; call it once
    ``lightx2v`` is imported."""
    from lightx2v.models.input_encoders.hf.wan.t5 import model as t5
    from lightx2v.models.networks.wan.infer import transformer_infer as transformer
    from lightx2v.models.video_encoders.hf.wan import vae

    whole_t5, whole_vae = t5.umt5_xxl, vae._video_vae
    t5.umt5_xxl = lambda **settings: whole_t5(**{**T5, **settings})
    vae._video_vae = lambda *args, **settings: whole_vae(*args, **{**settings, "dim": VAE_DIM})
    infer, decoder = transformer.WanTransformerInfer, vae.Decoder3d
    infer.infer_block = _faulty(infer.infer_block, "block", 5)
    decoder.forward = _faulty(decoder.forward, "decode", 2)


def _faulty(whole: Callable[..., Any], place: str, at: int) -> Callable[..., Any]:
    """``whole``, but while the file that HEADROOM_TEST_FAULT names says ``place`` and a fault, the
    ``at``-th call since then raises it. ("slow" makes every call slow.)"""
    calls = 0

    def instead(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        try:
            asked = Path(os.environ.get("HEADROOM_TEST_FAULT", "")).read_text().split()
        except OSError:
            asked = []
        calls = calls + 1 if asked[:1] == [place] else 0
        if calls and asked[1] == "slow":
            time.sleep(0.2)
        elif calls == at:
            raise (
                torch.OutOfMemoryError("injected") if asked[1] == "oom" else ValueError("injected")
            )
        return whole(*arguments, **named)

    return instead


_give_torch_cpu_the_names()
PLATFORM_DEVICE_REGISTER["cpu"] = Cpu
