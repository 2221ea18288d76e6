"""Failures on a real GPU and what the next clip is worth; many clips in a row; pinned memory."""

import gc
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from engine.pipelines.cuda import forget_error
from engine.pipelines.lightx2v import kernels, standins
from engine.pipelines.lightx2v.pinning import PinnedArena, cuda_register
from engine.plan import host_memory
from engine.presets import load_presets
from engine.request import Size
from engine.stages import Frames
from tests.tools.gpu import gauge, pretend
from tests.tools.gpu.bench import Bench, Run
from tests.tools.gpu.rows import LARGE, MODEL, OWN, SHORT, WIDE, sizes, told

LEFT = 256 * 2**20  # bytes: enough for a block's first tensors, too little for its last
DEEP = 57  # the block, counted from the first step's first, before which memory is taken away
STEPS = 2
NO_CAP = 1000.0  # GiB
CLIPS = 20

Clip = tuple[Frames, torch.Tensor]


# ---- out of memory -------------------------------------------------------------------------


class Others:
    """Takes what is left of the GPU, as another program does, so that cudaMalloc itself fails."""

    def __init__(self, stage: str, at: int) -> None:
        self._stage, self._at = stage, at
        self._held: torch.Tensor | None = None
        self.taken = 0

    def watch(self, stage: str, check: int) -> None:
        if (stage, check) != (self._stage, self._at):
            return
        torch.cuda.empty_cache()
        self.taken = max(0, torch.cuda.mem_get_info()[0] - LEFT)
        if pretend.ON:
            raise torch.OutOfMemoryError("pretended")
        self._held = torch.empty(self.taken, dtype=torch.uint8, device="cuda")

    def leave(self) -> None:
        self._held = None
        gc.collect()
        torch.cuda.empty_cache()


def out_of_memory(bench: Bench) -> None:
    """A real one in a block, in the decode and in a probe; after each the clip is the same."""
    latents = _keep_latents(bench)
    bench.cap = NO_CAP
    first = _clip(bench, latents)
    again = _clip(bench, latents)
    _compared(bench, "nothing", first, again)
    for what, stage, at, steps in (
        ("a block", "denoise", DEEP, STEPS),
        ("the decode", "decode", 2, STEPS),
        ("a probe's block", "denoise", DEEP // 2, 1),
        ("a probe's decode", "decode", 1, 1),
    ):
        others = Others(stage, 1 if pretend.ON else at)
        run = Run(bench.meter, watch=others.watch)
        bench.run(SHORT, steps=steps, kind="must_run_out", run=run, where=what)
        bench.tell("taken", where=what, bytes=others.taken)
        others.leave()
        _compared(bench, what, first, _clip(bench, latents))
    if not pretend.ON:
        bench.cap = 6.0  # room to denoise this picture, and none to decode it
        bench.run(sizes("720x1280x17")[0], kind="must_run_out", where="a ceiling")
        bench.cap = NO_CAP
        _compared(bench, "a ceiling", first, _clip(bench, latents))


def _keep_latents(bench: Bench) -> list[torch.Tensor]:
    kept: list[torch.Tensor] = []
    decode = bench.runner.run_vae_decoder

    def keeping(latents: torch.Tensor) -> Any:
        kept.append(latents.cpu().clone())
        return decode(latents)

    bench.runner.run_vae_decoder = keeping
    return kept


def _clip(bench: Bench, latents: list[torch.Tensor]) -> Clip | None:
    frames = bench.run(SHORT, steps=STEPS, kind="clean")
    return None if frames is None else (frames, latents[-1])


def _compared(bench: Bench, what: str, first: Clip | None, now: Clip | None) -> None:
    same = first is not None and now is not None
    bench.tell(
        "same_after",
        what=what,
        frames=same and bool((first[0] == now[0]).all()),  # type: ignore[index]
        latents=same and torch.equal(first[1], now[1]),  # type: ignore[index]
        sha256=hashlib.sha256(now[0].tobytes()).hexdigest()[:16] if now else None,
    )


# ---- many in a row -------------------------------------------------------------------------


def row_of_clips(bench: Bench, count: int = CLIPS) -> None:
    """Two sizes in turn, each with another seed: what is held after each clip."""
    for number in range(count):
        bench.run(
            (SHORT, WIDE)[number % 2], seed=100 + number, steps=None, kind="in_a_row", number=number
        )
        gc.collect()
        bench.tell("held", number=number, **held(bench))


def held(bench: Bench) -> dict[str, int | None]:
    """Bytes after a clip, once torch has given back what nobody uses."""
    torch.cuda.empty_cache()
    return {
        "allocated": torch.cuda.memory_allocated(),
        "reserved": torch.cuda.memory_reserved(),
        "outside": bench.meter.outside(),
        "open_files": len(os.listdir("/proc/self/fd")),
        **bench.host(),
    }


# ---- the gauge -----------------------------------------------------------------------------


def gauged(bench: Bench, size: Size = OWN, readings_to: Path | None = None) -> None:
    """A clip while the gauge and nvidia-smi watch from another process."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "told"
        with gauge.watching(os.getpid(), file) as own:
            bench.run(size, steps=None, kind="gauged")
            own = list(own)
        everything = gauge.read(file)
        if readings_to is not None:
            readings_to.write_text(json.dumps({"own": own[::10], **everything}))
        for source, readings in everything.items():
            compared = gauge.compare(own, readings)
            facts = asdict(compared) if compared else {}
            bench.tell("gauge", source=source, readings=len(readings), **facts)
        bench.tell("gauge_ended", own=len(own), outside=bench.meter.outside())


# ---- page-locked memory --------------------------------------------------------------------


def pinning(bench: Bench, shape: tuple[int, int] = (13_824, 5120), count: int = 20) -> None:
    """Host bytes and transfer rate of torch's page-locked memory and of ours, at a true shape."""
    if pretend.ON:
        shape, count = (64, 64), 2
    plain = torch.randint(0, 255, shape, dtype=torch.uint8)
    target = torch.empty(shape, dtype=torch.uint8, device=pretend.DEVICE)
    before = _torch_pinned()
    locked = not pretend.ON
    theirs = [torch.empty(shape, dtype=torch.uint8, pin_memory=locked) for _ in range(count)]
    taken = _torch_pinned() - before
    arena = PinnedArena((lambda *_: None) if pretend.ON else cuda_register)
    ours = [arena.place(plain) for _ in range(count)]
    pageable = [plain.clone() for _ in range(count)]
    bench.tell(
        "pinning",
        shape=list(shape),
        count=count,
        raw=count * plain.numel(),
        torch_bytes=taken,
        exact_bytes=arena.pinned,
        gigabytes_a_second={
            name: _rate(tensors, target)
            for name, tensors in (("torch", theirs), ("exact", ours), ("pageable", pageable))
        },
    )


def _torch_pinned() -> int:
    return int(torch.cuda.host_memory_stats().get("allocated_bytes.current", 0))


def _rate(tensors: list[torch.Tensor], target: torch.Tensor, repeat: int = 5) -> float:
    """Host to device, GB/s, on a stream of its own as LightX2V copies."""
    cuda: Any = torch.cuda
    stream = cuda.Stream()
    best = 0.0
    for _ in range(repeat):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with cuda.stream(stream):
            for tensor in tensors:
                target.copy_(tensor, non_blocking=True)
        stream.synchronize()
        moved = sum(tensor.numel() for tensor in tensors)
        best = max(best, moved / (time.perf_counter() - began) / 1e9)
    return round(best, 2)


def registration() -> dict[str, str]:
    """What a failed registration leaves for the next kernel's check, and that we take it back."""
    if pretend.ON:
        return {}
    cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    memory = torch.empty(8 * 2**20, dtype=torch.uint8)
    torch.zeros(1, device="cuda")

    def refused() -> int:
        return int(cudart.cudaHostRegister(memory.data_ptr(), memory.numel(), 0))

    def launch() -> str:
        try:
            torch.ones(8, device="cuda").add_(1)
            torch.cuda.synchronize()
        except RuntimeError as error:
            return str(error).partition("\n")[0]
        return "fine"

    first, again = refused(), refused()
    left = launch()
    refused()
    forget_error()
    return {"codes": f"{first}, {again}", "left": left, "taken back": launch()}


# ---- kernels -------------------------------------------------------------------------------


@contextmanager
def _cosine(answers: dict[str, object], name: str) -> Iterator[Callable[[float], None]]:
    try:
        yield lambda cosine: answers.__setitem__(name, round(cosine, 6))
    except Exception as error:
        answers[name] = f"{type(error).__name__}: {error}"[:300]


T5_LAYER = kernels.Layer(host_memory.T5_DIM, host_memory.T5_FFN, bias=False)


def trials() -> dict[str, object]:
    """Every kernel called once at the true shape, by our own trial; cosine, or what it raised."""
    with standins.standing_in():
        import lightx2v  # noqa: F401
    shape = load_presets().models[MODEL].architecture
    assert shape is not None
    answers: dict[str, object] = {}
    layers = {"": kernels.Layer(shape.dim, shape.dim), " of the T5": T5_LAYER}
    for precision, names in kernels.MATMULS.items():
        for name in names:
            for of, layer in layers.items():
                with _cosine(answers, name + of) as keep:
                    keep(kernels.try_matmul(name, precision, layer, pretend.DEVICE))
    with _cosine(answers, "sage_attn1") as keep:
        kernels.name_sage_1()
        keep(kernels.try_attention("sage_attn1", shape, pretend.DEVICE))
    with _cosine(answers, "sage_attn1 speed") as keep:
        keep(kernels.attention_speed("sage_attn1", shape))
    with _cosine(answers, "modulation") as keep:
        keep(kernels.try_modulation(shape))
    return answers


def whole(bench: Bench) -> None:
    """Everything of this file on one loaded pipeline; what may spoil it comes last."""
    tasks: tuple[tuple[str, Callable[[], None]], ...] = (
        ("pinning", lambda: pinning(bench)),
        ("gauge 480x832x81", lambda: gauged(bench)),
        ("gauge 720x1280x81", lambda: gauged(bench, LARGE)),
        ("clips in a row", lambda: row_of_clips(bench)),
        ("out of memory", lambda: out_of_memory(bench)),
    )
    for name, task in tasks:
        with told(bench.out, name):
            task()
