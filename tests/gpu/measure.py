"""What the 14B costs on this GPU: ``python -m tests.gpu.measure TASK [--cap GIB] OUT.json``.

Each task appends rows to OUT as it goes, so that a run cut short keeps what it found.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.headroom import GIB, margin
from engine.home import Home
from engine.pipelines import standins
from engine.pipelines.base import Cancelled, Frames, OutOfMemory, PipelineError, Stage
from engine.pipelines.cuda import CudaMeter
from engine.pipelines.lightx2v import LightX2V
from engine.plan import Choice, Plan
from engine.presets import load_presets
from engine.request import ClipRequest, Size

MODEL = "wan2.1-t2v-14b-fp8"
PROMPT = "a red ball moves left over green grass"
BASE: dict[str, str | int] = {
    "device": "cuda",
    "precision": "fp8",
    "attention": "torch_sdpa",
    "matmul": "fp8-triton",
    "text_encoder": "fp8-triton",
    "offload": "block",
    "decode": "whole",
    "rope_chunk": 8192,
    "compile": "off",
}


def sizes(*texts: str) -> list[Size]:
    """ "480x832x81" is height, width, frames."""
    return [Size(*(int(part) for part in text.split("x"))) for text in texts]


GRID = sizes(
    "480x832x17", "480x832x33", "480x832x49", "480x832x81", "480x832x121", "832x480x81",
    "544x960x33", "544x960x81", "544x960x121", "960x544x81", "720x1280x17", "720x1280x33",
    "720x1280x49", "1280x720x49", "720x1280x81", "720x1280x121",
)  # fmt: skip
POINTS = sizes("480x832x33", "480x832x81", "720x1280x49", "720x1280x81")


@dataclass
class Run:
    """A ``base.Run`` that keeps seconds and bytes by stage; ``stop_at`` cancels at that check."""

    meter: CudaMeter
    stop_at: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    allocated: dict[str, int] = field(default_factory=dict)
    checks: int = 0
    previews: int = 0
    _stage: str | None = None
    _began: float = 0.0

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.leave()
        self._stage = stage
        self.meter.reset()
        self._began = time.perf_counter()

    def leave(self) -> None:
        if self._stage is not None:
            torch.cuda.synchronize()
            self.seconds[self._stage] = round(time.perf_counter() - self._began, 3)
            self.peaks[self._stage] = self.meter.peak()
            self.allocated[self._stage] = torch.cuda.max_memory_allocated()
            self._stage = None

    def advance(self, fraction: float, step: int = 0) -> None: ...

    def preview(self, frames: Frames) -> None:
        self.previews += 1

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise Cancelled

    def occupied(self, doing: str, seconds: float) -> None: ...


class Bench:
    """One loaded pipeline; ``rows`` go to ``out`` as they come."""

    def __init__(self, out: Path, cap: float, **choices: str | int) -> None:
        self.out, self.cap, self.choices = out, cap, {**BASE, **choices}
        self.need = 0
        plan: Plan = {name: Choice(value, "measured") for name, value in self.choices.items()}
        began = time.perf_counter()
        self.pipeline = LightX2V(load_presets().models[MODEL])
        ran = self.pipeline.load(plan)
        assert isinstance(self.pipeline.meter, CudaMeter)
        self.meter = self.pipeline.meter
        self.tell(
            "load",
            seconds=round(time.perf_counter() - began, 1),
            ran={name: choice.value for name, choice in ran.items()},
            replaced={n: c.reason for n, c in ran.items() if c.reason != "measured"},
            outside=self.meter.outside(),
            pinned=getattr(getattr(self.pipeline, "_arena", None), "pinned", None),
            host=torch.cuda.host_memory_stats().get("allocated_bytes.current"),
            rss=_rss(),
        )

    def tell(self, kind: str, **facts: Any) -> None:
        row = {"kind": kind, "cap": self.cap, "choices": self.choices, **facts}
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({"kind": kind, **facts})[:300], flush=True)  # noqa: T201

    def run(
        self, size: Size, seed: int = 7, steps: int | None = 1, kind: str = "run", **facts: Any
    ) -> Frames | None:
        run = Run(self.meter)
        request = ClipRequest(PROMPT, size.height, size.width, size.frames, seed, MODEL)
        outcome, frames = "ok", None
        try:
            with self.meter.ceiling(round(self.cap * GIB)):
                frames = self.pipeline.generate(request, seed, run, steps)
                run.leave()
        except OutOfMemory as error:
            outcome = f"out_of_memory in {run._stage}: {error.memory}"
            run._stage = None
        except PipelineError as error:
            outcome = str(error)
            run.leave()
        self.need = max(run.allocated.values(), default=0) + self.meter.outside()
        self.tell(
            kind,
            size=[size.height, size.width, size.frames],
            tokens=size.tokens,
            pixels=size.pixels,
            steps=steps,
            outcome=outcome,
            seconds=run.seconds,
            peaks=run.peaks,
            allocated=run.allocated,
            **facts,
        )
        return frames


def grid(out: Path, cap: float) -> None:
    """The memory table of the main configuration, whole and tiled decode."""
    bench = Bench(out, cap)
    for size in GRID:
        bench.run(size)
    bench.pipeline._plan = {**bench.pipeline._plan, "decode": Choice("tiled", "measured")}
    bench.choices["decode"] = "tiled"
    for size in POINTS:
        bench.run(size)


def kernels(out: Path, cap: float) -> None:
    """The other kernels and chunks at a few sizes; each needs a fresh process (see ``main``)."""
    bench = Bench(out, cap, **json.loads(_options.choices))
    for size in POINTS:
        bench.run(size)
    bench.run(POINTS[1], kind="warm")


def fits(out: Path, cap: float) -> None:
    """Whether what was allocated, and a margin, is room enough: the same size under that ceiling.

    Reserved memory can't tell: torch keeps what it was given as long as nobody asks for it.
    """
    bench = Bench(out, cap, **json.loads(_options.choices))
    for size in sizes(*_options.sizes.split(",")):
        run = bench.run(size)
        need = bench.need
        bench.cap = (need + margin(need)) / GIB
        bench.run(size, kind="fits", need=need)
        bench.cap = cap
        if run is None:
            break


def wake(out: Path, cap: float) -> None:
    """Where the time goes when the text encoder wakes."""
    import cProfile
    import pstats

    bench = Bench(out, cap, **json.loads(_options.choices))
    profiler = cProfile.Profile()
    profiler.enable()
    bench.run(sizes("480x832x17")[0], kind="wake")
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


def promises(out: Path, cap: float) -> None:
    """Cancel, failures and seeds on CUDA: the next clip is the same to the bit."""
    size = sizes("480x832x17")[0]
    bench = Bench(out, cap, offload="block-exact")
    pipeline, runner = bench.pipeline, bench.pipeline._runner
    first = bench.run(size, steps=2)
    again = bench.run(size, steps=2)
    known = bool(runner.text_encoders)
    assert first is not None
    bench.tell("same_twice", same=again is not None and bool((first == again).all()))
    bench.tell(
        "text_encoder",
        awake=known,
        embedding=str(
            runner.text_encoders[0].model.token_embedding.weight.device if known else None
        ),
    )
    request = ClipRequest(PROMPT, size.height, size.width, size.frames, 9, MODEL)
    began = time.perf_counter()
    with suppress(Cancelled):
        pipeline.generate(request, 9, Run(bench.meter, stop_at=30), 2)
    bench.tell("cancelled", seconds=round(time.perf_counter() - began, 2))
    after = bench.run(size, steps=2)
    bench.tell("same_after_cancel", same=after is not None and bool((first == after).all()))
    bench.cap = 4.0
    bench.run(sizes("720x1280x81")[0], kind="must_run_out")
    bench.cap = cap
    after = bench.run(size, steps=2)
    bench.tell("same_after_out_of_memory", same=after is not None and bool((first == after).all()))


def speed(out: Path, cap: float) -> None:
    """Four steps cold and warm, ours and LightX2V's own pipeline object in turn."""
    bench = Bench(out, cap, **json.loads(_options.choices))
    for size in sizes(*_options.sizes.split(",")):
        bench.run(size, steps=None, kind="cold")
        for _ in range(_options.repeat):
            bench.run(size, steps=None, kind="warm")
            with _theirs(bench) as generate:
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
def _theirs(bench: Bench) -> Iterator[Callable[[Size], object]]:
    """LightX2V's own methods on the same loaded weights, our hooks taken off."""
    pipeline = bench.pipeline
    runner, pipe = pipeline._runner, pipeline._pipe
    infer = runner.model.transformer_infer
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
        runner.gen_video = runner.gen_video_final = None


def floor(out: Path, cap: float) -> None:
    """The card's rates at the model's shapes, from which the least time of a step follows."""
    tokens, dim, ffn, heads = 32_760, 5120, 13_824, 40
    rows: dict[str, float] = {}

    def rate(name: str, flops: float, work: Callable[[], object]) -> None:
        for _ in range(3):
            work()
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(5):
            work()
        torch.cuda.synchronize()
        rows[name] = round(5 * flops / (time.perf_counter() - began) / 1e12, 1)

    x = torch.randn(tokens, dim, device="cuda").to(torch.float8_e4m3fn)
    for out_dim, name in ((dim, "fp8 5120x5120"), (ffn, "fp8 13824x5120")):
        w = torch.randn(out_dim, dim, device="cuda").to(torch.float8_e4m3fn).t()
        a = torch.ones(tokens, 1, device="cuda")
        b = torch.ones(1, out_dim, device="cuda")
        rate(
            name,
            2.0 * tokens * dim * out_dim,
            lambda w=w, a=a, b=b: torch._scaled_mm(  # type: ignore[misc]
                x, w, scale_a=a, scale_b=b, out_dtype=torch.bfloat16, use_fast_accum=True
            ),
        )
    q = torch.randn(1, heads, tokens, 128, device="cuda", dtype=torch.bfloat16)
    attend = torch.nn.functional.scaled_dot_product_attention
    rate("sdpa bf16", 4.0 * tokens * tokens * dim, lambda: attend(q, q, q))
    with suppress(ImportError):
        import sageattention

        nhd = q.transpose(1, 2).contiguous()
        rate(
            "sageattention",
            4.0 * tokens * tokens * dim,
            lambda: sageattention.sageattn(nhd, nhd.clone(), nhd, tensor_layout="NHD"),
        )
    block = torch.empty(351 * 2**20, dtype=torch.uint8, pin_memory=True)
    began = time.perf_counter()
    for _ in range(5):
        block.to("cuda")
    torch.cuda.synchronize()
    rows["host to device GB/s"] = round(5 * block.numel() / (time.perf_counter() - began) / 1e9, 1)
    gpu = torch.cuda.get_device_properties(0)
    with out.open("a") as file:
        facts = {"gpu": gpu.name, "torch": torch.__version__, "python": platform.python_version()}
        file.write(json.dumps({"kind": "floor", "tflops": rows, **facts}) + "\n")
    print(rows, flush=True)  # noqa: T201


def profile(out: Path, cap: float) -> None:
    """Where one warm step's time goes: kernels by their share, and how long the GPU was busy."""
    bench = Bench(out, cap, **json.loads(_options.choices))
    size = sizes(_options.sizes.split(",")[0])[0]
    bench.run(size, kind="cold")
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        bench.run(size, kind="profiled")
    events = sorted(
        profiler.key_averages(), key=lambda e: -float(getattr(e, "self_device_time_total", 0))
    )
    rows = [
        [event.key[:90], round(event.self_device_time_total / 1e3, 1), event.count]
        for event in events[:40]
    ]
    bench.tell("profile", size=str(size), milliseconds_by_kernel=rows)


def _rss() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def setup(out: Path, cap: float) -> None:
    from tests.gpu import true_shape

    began = time.perf_counter()
    with standins.standing_in():
        import lightx2v  # noqa: F401

    true_shape.write(Home.find().weights / MODEL)
    print("checkpoint written in", round(time.perf_counter() - began), "s", flush=True)  # noqa: T201


TASKS = {t.__name__: t for t in (setup, grid, kernels, fits, wake, promises, speed, floor, profile)}
_options = argparse.Namespace()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, default=16.0, help="GiB for the process in all")
    parser.add_argument("--choices", default="{}", help="JSON that overrides the plan")
    parser.add_argument("--sizes", default="480x832x81")
    parser.add_argument("--repeat", type=int, default=1)
    parser.parse_args(namespace=_options)
    TASKS[_options.task](_options.out, _options.cap)


if __name__ == "__main__":
    main()
