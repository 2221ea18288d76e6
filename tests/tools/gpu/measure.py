"""What the 14B costs on this GPU: ``python -m tests.tools.gpu.measure TASK [--cap GIB] OUT.jsonl``.

Each task appends rows to OUT as it goes, so that a run cut short keeps what it found.
tests/tools/gpu/climbing.py is a program of its own: the guard through supervisor, queue and worker.
"""

import argparse
import json
import platform
import time
from contextlib import suppress
from pathlib import Path

import torch

from engine.guard.budget import margin
from engine.home import Home
from engine.pipelines.base import Cancelled
from engine.pipelines.lightx2v import standins
from engine.plan.choice import Choice
from engine.request import ClipRequest
from engine.units import GIB
from tests.tools.gpu import endurance, lora, pretend, speed
from tests.tools.gpu.bench import Bench, Run
from tests.tools.gpu.rows import GRID, LARGE, MODEL, OWN, POINTS, PROMPT, SHORT, sizes, tell, told


def grid(out: Path, cap: float) -> None:
    """The memory table of the main configuration, whole and tiled decode."""
    bench = Bench(out, cap, _choices())
    for size in GRID:
        bench.run(size)
    bench.pipeline._plan = {**bench.pipeline._plan, "decode": Choice("tiled", "measured")}
    bench.choices["decode"] = "tiled"
    for size in POINTS:
        bench.run(size)


def points(out: Path, cap: float) -> None:
    """A few sizes with other choices, each in a process of its own; then one of them warm."""
    bench = Bench(out, cap, _choices())
    for size in sizes(*_options.sizes.split(",")) if _options.sizes else POINTS:
        bench.run(size)
    bench.run(OWN, kind="warm")


def fits(out: Path, cap: float) -> None:
    """Whether what was allocated, and a margin, is room enough: the same size under that ceiling.

    Reserved memory can't tell: torch keeps what it was given as long as nobody asks for it.
    """
    bench = Bench(out, cap, _choices())
    for size in sizes(*(_options.sizes or "480x832x81").split(",")):
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

    bench = Bench(out, cap, _choices())
    profiler = cProfile.Profile()
    profiler.enable()
    bench.run(SHORT, kind="wake")
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


def promises(out: Path, cap: float) -> None:
    """Cancel and seeds on CUDA: the next clip is the same to the bit."""
    bench = Bench(out, cap, {"offload": "block-exact"})
    first = bench.run(SHORT, steps=2)
    again = bench.run(SHORT, steps=2)
    assert first is not None
    bench.tell("same_twice", same=again is not None and bool((first == again).all()))
    request = ClipRequest(PROMPT, SHORT.height, SHORT.width, SHORT.frames, 9, MODEL)
    began = time.perf_counter()
    with suppress(Cancelled):
        bench.pipeline.generate(request, 9, Run(bench.meter, stop_at=30), 2)
    bench.tell("cancelled", seconds=round(time.perf_counter() - began, 2))
    after = bench.run(SHORT, steps=2)
    bench.tell("same_after_cancel", same=after is not None and bool((first == after).all()))


def trials(out: Path, cap: float) -> None:
    """Every kernel called once; in a process of its own, as one that fails may take CUDA along."""
    with told(out, "registration"):
        tell(out, "registration", answers=endurance.registration())
    tell(out, "trials", answers=endurance.trials())


def fast(out: Path, cap: float) -> None:
    """The card's rates, then speed.py on one loaded pipeline."""
    with told(out, "floor"):
        gpu = torch.cuda.get_device_properties(0)
        facts = {"gpu": gpu.name, "torch": torch.__version__, "python": platform.python_version()}
        tell(out, "floor", tflops=speed.floor(), **facts)
        torch.cuda.empty_cache()
    bench = Bench(out, cap, _choices())
    speed.whole(bench)
    with told(out, "fp8-torchao"):
        speed.other_matrices(bench, "fp8-torchao", POINTS)
    bench.tell("variant_host", seconds=0.0, **bench.host())


def turn(out: Path, cap: float) -> None:
    """Ours and LightX2V's own way, one clip of four steps each."""
    bench = Bench(out, cap, _choices())
    for size in sizes(*(_options.sizes or "720x1280x81").split(",")):
        with told(out, f"{size} in turn"):
            speed.in_turn(bench, size, cold=False)


def watched(out: Path, cap: float) -> None:
    """The gauge alone, with all of its readings beside ``out``."""
    bench = Bench(out, cap, _choices())
    endurance.gauged(bench, LARGE, out.with_suffix(".readings.json"))


def long(out: Path, cap: float) -> None:
    """endurance.py on one loaded pipeline, then what may take long to compile."""
    bench = Bench(out, cap, _choices())
    with told(out, "the longest clip under 24 GiB"):
        bench.cap = 24.0
        bench.run(sizes("720x1280x121")[0], kind="longest")
        bench.cap = cap
    with told(out, "warm"):
        bench.run(OWN, steps=None, kind="cold")
        bench.run(OWN, steps=None, kind="warm")
    endurance.whole(bench)
    bench.cap = cap
    with told(out, "compile"):
        speed.compiled(bench)


def variant(out: Path, cap: float) -> None:
    """One plan or LightX2V setting in a process of its own: two steps at the model's own size.

    A new prompt wakes the text encoder, which counts where it stays on the GPU.
    """
    began = time.perf_counter()
    bench = Bench(out, cap, _choices(), json.loads(_options.settings))
    prompt = f"{PROMPT} {time.time_ns()}" if _options.new_prompt else PROMPT
    bench.run(OWN, kind="variant", prompt=prompt)
    bench.run(OWN, kind="variant", prompt=prompt)
    bench.tell("variant_host", seconds=round(time.perf_counter() - began, 1), **bench.host())


def adapters(out: Path, cap: float) -> None:
    """A rank-64 LoRA on all blocks: merged, exchanged, removed; a step with it; what is lost."""
    lora.whole(Bench(out, cap, _choices()))


def setup(out: Path, cap: float) -> None:
    from tests.tools.gpu import true_shape

    began = time.perf_counter()
    with standins.standing_in():
        import lightx2v  # noqa: F401

    true_shape.write(Home.find().weights / MODEL)
    tell(out, "setup", seconds=round(time.perf_counter() - began))


TASKS = {
    t.__name__: t
    for t in (
        *(setup, grid, points, fits, wake, promises, trials),
        *(fast, turn, watched, long, variant, adapters),
    )
}
_options = argparse.Namespace()


def _choices() -> dict[str, str | int]:
    return dict(json.loads(_options.choices))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, default=16.0, help="GiB for the process in all")
    parser.add_argument("--choices", default="{}", help="JSON that overrides the plan")
    parser.add_argument("--settings", default="{}", help="JSON for LightX2V's settings file")
    parser.add_argument("--sizes", default="")
    parser.add_argument("--new-prompt", action="store_true")
    parser.parse_args(namespace=_options)
    if pretend.ON:
        pretend.stand_in()
    with told(_options.out, f"{_options.task} {_options.choices} {_options.settings}"):
        TASKS[_options.task](_options.out, _options.cap)


if __name__ == "__main__":
    main()
