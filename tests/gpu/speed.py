"""Seconds: ours and LightX2V's own way in turn, what each choice changes, where a step's time goes.

Choices that LightX2V reads at every block are exchanged on the loaded weights; the others need a
process of their own (``measure.py variant``).
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from engine.pipelines import kernels, repairs
from engine.pipelines.base import Stage
from engine.plan import Choice
from engine.request import Size
from tests.gpu import pretend, trace
from tests.gpu.bench import Bench, Run
from tests.gpu.rows import LARGE, OWN, PROMPT, SHORT, told

COMPILE_SECONDS = 90

# ---- ours and theirs -----------------------------------------------------------------------


def in_turn(bench: Bench, size: Size, repeat: int = 1, cold: bool = True) -> None:
    """Four steps, ours cold and warm and LightX2V's own pipeline object, on the same weights."""
    if cold:
        bench.run(size, steps=None, kind="cold")
    for _ in range(repeat):
        bench.run(size, steps=None, kind="warm")
        with theirs(bench) as generate:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            generate(size)
            torch.cuda.synchronize()
            bench.tell(
                "theirs",
                size=[size.height, size.width, size.frames],
                seconds=round(time.perf_counter() - began, 3),
                allocated=torch.cuda.max_memory_allocated(),
                reserved=torch.cuda.max_memory_reserved(),
            )


@contextmanager
def theirs(bench: Bench) -> Iterator[Callable[[Size], object]]:
    """LightX2V's own methods on the same loaded weights, our hooks taken off."""
    pipeline, runner, infer = bench.pipeline, bench.runner, bench.infer
    pipe = pipeline._pipe
    ours = {name: vars(runner)[name] for name in ("run_text_encoder", "run_vae_decoder")}
    block = vars(infer).pop("run_block")
    for name in ours:
        delattr(runner, name)
    runner.set_progress_callback(None)
    if not runner.text_encoders:
        runner.text_encoders = pipeline._load_text_encoder()

    def generate(size: Size) -> object:
        pipe.modify_config(
            {
                "target_video_length": size.frames,
                "target_height": size.height,
                "target_width": size.width,
            }
        )
        return pipe.generate(
            seed=7,
            prompt=PROMPT,
            negative_prompt="",
            save_result_path=None,
            return_result_tensor=True,
            target_shape=[size.height, size.width],
        )

    try:
        yield generate
    finally:
        infer.run_block = block
        for name, method in ours.items():
            setattr(runner, name, method)
        runner.set_progress_callback(pipeline._step_ended)
        # What their own way leaves on the GPU would be counted as ours from now on: 2 GiB, which
        # under a ceiling also made the next decode three times as slow.
        repairs.drop_video(runner)
        repairs.return_token_embedding(runner)
        torch.cuda.empty_cache()


def prompts(bench: Bench) -> None:
    """What the text cache saves; the T5 sleeps before the first."""
    texts = bench.pipeline._texts
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
    from engine.pipelines import opening

    opening.let_every_block_compile(bench.pipeline.preset)

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

    from engine.pipelines.proof import matrices_of

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


@dataclass
class Profiler:
    """Profiles one stage: the trace begins with it and ends with the next."""

    stage: Stage
    profile: Any = None
    seconds: float = 0.0
    _began: float = 0.0

    def entered(self, stage: Stage) -> None:
        torch.cuda.synchronize()
        if stage == self.stage:
            kinds = torch.profiler.ProfilerActivity
            kind = kinds.CPU if pretend.ON else kinds.CUDA
            self.profile = torch.profiler.profile(activities=[kind])
            self.profile.__enter__()
            self._began = time.perf_counter()
        elif self.seconds == 0.0 and self.profile is not None:
            self.seconds = time.perf_counter() - self._began
            self.profile.__exit__(None, None, None)


def profile(bench: Bench, size: Size = OWN) -> None:
    """One denoise step under the profiler; ``size`` has run before."""
    profiler = Profiler("denoise")
    bench.run(size, run=Run(bench.meter, entered=profiler.entered), kind="profiled")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.profile.export_chrome_trace(str(file))
        found = trace.read(file)
    bench.tell(
        "profile",
        size=[size.height, size.width, size.frames],
        wall_ms=round(1000 * profiler.seconds, 1),
        floor_ms=floor_milliseconds(size),
        **found.as_json(),
    )


def work(size: Size) -> dict[str, float]:
    """Floating-point operations of one step: what matrices and attention must do."""
    tokens, dim, ffn, text, layers = size.tokens, 5120, 13_824, 512, 40
    linear = 2.0 * tokens * (6 * dim * dim + 2 * dim * ffn) + 2.0 * text * 2 * dim * dim
    attends = 4.0 * tokens * (tokens + text) * dim
    return {"matrix": layers * linear, "attention": layers * attends}


RATES: dict[str, float] = {}  # FLOP/s, once ``floor`` has measured them


def floor_milliseconds(size: Size) -> dict[str, float]:
    return {
        part: round(1e3 * flops / RATES[part], 1)
        for part, flops in work(size).items()
        if RATES.get(part)
    }


def floor(tokens: int = 32 if pretend.ON else kernels.TOKENS) -> dict[str, float]:
    """The card's rates at the model's shapes in TFLOP/s, from which a step's least time follows."""
    dim, ffn, heads = 5120, 13_824, 40
    rows: dict[str, float] = {}

    def rate(name: str, flops: float, run: Callable[[], object]) -> None:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(5):
            run()
        torch.cuda.synchronize()
        rows[name] = round(5 * flops / (time.perf_counter() - began) / 1e12, 1)

    x = torch.randn(tokens, dim, device=pretend.DEVICE).to(torch.float8_e4m3fn)
    for out_dim in (dim, ffn):
        w = torch.randn(out_dim, dim, device=pretend.DEVICE).to(torch.float8_e4m3fn).t()
        a = torch.ones(tokens, 1, device=pretend.DEVICE)
        b = torch.ones(1, out_dim, device=pretend.DEVICE)
        rate(
            f"fp8 {out_dim}x{dim}",
            2.0 * tokens * dim * out_dim,
            lambda w=w, a=a, b=b: torch._scaled_mm(  # type: ignore[misc]
                x, w, scale_a=a, scale_b=b, out_dtype=torch.bfloat16, use_fast_accum=True
            ),
        )
    q = torch.randn(1, heads, tokens, 128, device=pretend.DEVICE, dtype=torch.bfloat16)
    attend = torch.nn.functional.scaled_dot_product_attention
    rate("sdpa bf16", 4.0 * tokens * tokens * dim, lambda: attend(q, q, q))
    RATES.update(matrix=1e12 * rows[f"fp8 {ffn}x{dim}"], attention=1e12 * rows["sdpa bf16"])
    return rows


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
