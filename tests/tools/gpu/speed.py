"""Seconds: ours and LightX2V's own way in turn, what each choice changes, where a step's time goes.

Choices that LightX2V reads at every block are exchanged on the loaded weights; the others need a
process of their own (``measure.py variant``).
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.bench.device_rates import rates
from engine.pipelines.bench.profiler import Profiler
from engine.pipelines.bench.upstream_pipeline import theirs
from engine.pipelines.lightx2v import kernels
from engine.plan.choice import Choice
from engine.plan.flops import architecture_of, step_work
from engine.presets import Architecture, load_presets
from engine.request import ClipRequest, Size
from tests.tools.gpu import pretend
from tests.tools.gpu.bench import Bench, Run
from tests.tools.gpu.rows import LARGE, MODEL, OWN, PROMPT, SHORT, told

COMPILE_SECONDS = 90

# ---- ours and theirs -----------------------------------------------------------------------


def in_turn(bench: Bench, size: Size, repeat: int = 1, cold: bool = True) -> None:
    """Four steps, ours cold and warm and LightX2V's own pipeline object, on the same weights."""
    if cold:
        bench.run(size, steps=None, kind="cold")
    for _ in range(repeat):
        bench.run(size, steps=None, kind="warm")
        with theirs(bench.pipeline) as generate:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            generate(ClipRequest(PROMPT, size.height, size.width, size.frames, 7, MODEL))
            torch.cuda.synchronize()
            bench.tell(
                "theirs",
                size=[size.height, size.width, size.frames],
                seconds=round(time.perf_counter() - began, 3),
                allocated=torch.cuda.max_memory_allocated(),
                reserved=torch.cuda.max_memory_reserved(),
            )


def prompts(bench: Bench) -> None:
    """What the text cache saves; the T5 sleeps before the first."""
    texts = bench.pipeline._texts._cache
    new, another = f"{PROMPT} at {time.time_ns()}", f"{PROMPT} by {time.time_ns()}"
    with anonymous_ram() as most:
        bench.run(SHORT, kind="prompt", prompt=new, text="asleep")
    bench.tell("woken", anonymous_before=most[0], anonymous_most=max(most), **bench.host())
    for state, prompt in (("awake", another), ("in memory", another)):
        bench.run(SHORT, kind="prompt", prompt=prompt, text=state)
    texts._near.clear()
    bench.run(SHORT, kind="prompt", prompt=another, text="on disk")


@contextmanager
def anonymous_ram() -> Iterator[list[int]]:
    """Bytes of RAM that aren't a file's pages, ten times a second; registered ones count too."""
    seen, over = [_anonymous()], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            seen.append(_anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "RssAnon" in line) * 1024


# ---- choices on the loaded weights ---------------------------------------------------------


def choices(bench: Bench) -> None:
    """One step with each; what compiles at its first call runs twice."""
    for chunk in (0, 2048, 8192):
        with rope_chunk(bench, chunk):
            bench.run(OWN, kind="choice", changed={"rope_chunk": chunk})
    with decoding(bench, "tiled"):
        bench.run(OWN, kind="choice", changed={"decode": "tiled"})
    with told(bench.out, "attention of sageattention"), attention(bench, "sage_attn1"):
        for _ in range(2):
            bench.run(OWN, kind="choice", changed={"attention": "sage_attn1"})


def other_matrices(bench: Bench, kernel: str, at: list[Size]) -> None:
    """``kernel`` instead of the loaded one; the two must store weights in the same way."""
    with matmul(bench, kernel):
        for size in at:
            bench.run(size, kind="choice", changed={"matmul": kernel})


def compiled(bench: Bench) -> None:
    """torch.compile of each block: the step that compiles, and one that only runs.

    Raises:
        TimeoutError: it wasn't done after COMPILE_SECONDS.
    """
    from engine.pipelines.lightx2v import loading

    loading.let_every_block_compile(bench.pipeline.preset)

    def too_long(*_: object) -> None:
        raise TimeoutError(f"torch.compile took longer than {COMPILE_SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(COMPILE_SECONDS)
    bench.infer.use_compile = True
    try:
        for _ in range(2):
            bench.run(OWN, kind="choice", changed={"compile": "on"})
    finally:
        signal.alarm(0)
        bench.infer.use_compile = False


@contextmanager
def rope_chunk(bench: Bench, tokens: int) -> Iterator[None]:
    from lightx2v.utils.registry_factory import ROPE_REGISTER

    def rope(old: Any) -> Any:
        inner = getattr(old, "inner", old)
        return ROPE_REGISTER["chunked_rope"](inner=inner, chunk_size=tokens) if tokens else inner

    phases = list(bench.runner.model.transformer_weights.iter_self_attention_phases())
    with ExitStack() as changes:
        for phase in phases:
            changes.enter_context(_replaced(phase, "rope", rope(phase.rope)))
        yield


@contextmanager
def attention(bench: Bench, kernel: str) -> Iterator[None]:
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    name = "sage_attn2" if kernel == "sage_attn1" else kernel
    with ExitStack() as changes:
        for block in _buffers(bench):
            for phase, part in ((0, "self_attn_1"), (1, "cross_attn_1")):
                weights = block.compute_phases[phase]
                made = ATTN_WEIGHT_REGISTER[name]()
                changes.enter_context(_replaced(weights, part, made))
        yield


@contextmanager
def matmul(bench: Bench, kernel: str) -> Iterator[None]:
    from lightx2v.utils.registry_factory import MM_WEIGHT_REGISTER

    from engine.pipelines.lightx2v.proof import matrices_of

    apply = MM_WEIGHT_REGISTER[kernel].apply
    with ExitStack() as changes:
        for block in _buffers(bench):
            for _, matrix in matrices_of(block):
                bound = apply.__get__(matrix)
                changes.enter_context(_replaced(matrix, "apply", bound))
        yield


@contextmanager
def decoding(bench: Bench, how: str) -> Iterator[None]:
    before = bench.pipeline._plan
    bench.pipeline._plan = {**before, "decode": Choice(how, "measured")}
    try:
        yield
    finally:
        bench.pipeline._plan = before


def _buffers(bench: Bench) -> list[Any]:
    """The blocks that compute: the two on the GPU under block offload, else all."""
    weights = bench.runner.model.transformer_weights
    return list(getattr(weights, "offload_block_cuda_buffers", None) or weights.blocks)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


# ---- where a step's time goes --------------------------------------------------------------


def profile(bench: Bench, size: Size = OWN) -> None:
    """One denoise step under the profiler; ``size`` has run before."""
    profiler = Profiler("denoise", not pretend.ON)
    bench.run(size, run=Run(bench.meter, entered=profiler.entered), kind="profiled")
    bench.tell(
        "profile",
        size=[size.height, size.width, size.frames],
        wall_ms=round(1000 * profiler.seconds, 1),
        floor_ms=floor_milliseconds(size),
        **profiler.found().as_json(),
    )


RATES: dict[str, float] = {}  # FLOP/s, once ``floor`` has measured them


def floor_milliseconds(size: Size) -> dict[str, float]:
    work = step_work(_shape(), size)
    return {
        part: round(1e3 * flops / RATES[part], 1) for part, flops in work.items() if RATES.get(part)
    }


def floor() -> dict[str, float]:
    """The card's rates at the model's shapes in TFLOP/s, from which a step's least time follows."""
    found = rates(_shape(), "fp8", 32 if pretend.ON else kernels.TOKENS, pretend.DEVICE)
    RATES.update(matrix=found["matrix"], attention=found["attention"])
    told = {**found["all"], "sdpa bf16": found["attention"]}
    return {name: round(rate / 1e12, 1) for name, rate in told.items()}


def _shape() -> Architecture:
    shape = architecture_of(load_presets().models[MODEL])
    assert shape is not None
    return shape


def whole(bench: Bench) -> None:
    """Everything of this file that one loaded pipeline can tell, the dearest last."""
    tasks: tuple[tuple[str, Callable[[], None]], ...] = (
        ("prompts", lambda: prompts(bench)),
        ("480x832x81 in turn", lambda: in_turn(bench, OWN)),
        ("profile 480x832x81", lambda: profile(bench, OWN)),
        ("choices", lambda: choices(bench)),
        ("720x1280x81 in turn", lambda: in_turn(bench, LARGE)),
        ("profile 720x1280x81", lambda: profile(bench, LARGE)),
    )
    for name, task in tasks:
        with told(bench.out, name):
            task()
