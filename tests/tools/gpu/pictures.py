"""What Wan 2.2 costs here: ``python -m tests.tools.gpu.pictures TASK [--cap GIB] OUT.jsonl``.

Two transformers that take turns, and the stage in which pictures are encoded. Each task is a
process of its own and appends its rows to OUT; measure.py has the rest.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.home import Home
from engine.pipelines.base import Pictures
from engine.pipelines.lightx2v import picture, standins
from engine.request import Size
from engine.stages import Frames
from tests.tools.gpu import pretend, true_shape
from tests.tools.gpu.bench import Bench, Run
from tests.tools.gpu.rows import I2V, sizes, tell, told

SIZES = "480x832x81,720x1280x81"
_options = argparse.Namespace()


def setup(out: Path, cap: float) -> None:
    """Writes the files."""
    began = time.perf_counter()
    with standins.standing_in():
        import lightx2v  # noqa: F401

    true_shape.write_experts(Home.find().weights / I2V)
    tell(out, "setup", seconds=round(time.perf_counter() - began))


def both(out: Path, cap: float) -> None:
    """Both transformers wait in RAM."""
    _clips(out, cap, "block-exact")


def one(out: Path, cap: float) -> None:
    """One waits, the other is read at the change: from the system's cache, then from the drive."""
    _clips(out, cap, "one-expert")


def lazy(out: Path, cap: float) -> None:
    """Every block is read at every step."""
    _clips(out, cap, "lazy")


def encode(out: Path, cap: float) -> None:
    """The pictures alone: ours and LightX2V's own way, and whether they are the same to the bit."""
    bench = _bench(out, cap, "block-exact")
    encoder = bench.pipeline._pictures
    assert encoder is not None
    for size in sizes(*_options.sizes.split(",")):
        bench.pipeline._pipe.modify_config({"target_video_length": size.frames})
        for ends in (False, True):
            given = Pictures(drawn(size), drawn(size, 1) if ends else None)
            encoder.take(given, size)
            facts = {"size": [size.height, size.width, size.frames], "ends": ends}
            ours, again = (_encoded(bench, encoder.encode, facts, "ours") for _ in range(2))
            with _without_hooks(bench.runner):
                theirs = _encoded(bench, partial(_theirs, bench.runner, given), facts, "theirs")
            same = {
                whose: found is not None and ours is not None and torch.equal(found, ours)
                for whose, found in (("twice", again), ("theirs", theirs))
            }
            bench.tell("encoded", **facts, same=same)


def _theirs(runner: Any, given: Pictures) -> Any:
    frames = [None if one is None else picture.as_tensor(one) for one in (given.first, given.last)]
    assert frames[0] is not None
    rows, columns = (side // picture.STRIDE for side in frames[0].shape[2:])
    return runner.get_vae_encoder_output(frames[0], rows, columns, frames[1])


@contextmanager
def _without_hooks(runner: Any) -> Iterator[None]:
    vae = runner.vae_encoder
    build, encode = vars(runner).pop("_build_vae_encoder_input"), vars(vae).pop("encode")
    try:
        yield
    finally:
        runner._build_vae_encoder_input, vae.encode = build, encode


def _encoded(
    bench: Bench, work: Callable[[], Any], facts: dict[str, Any], whose: str
) -> torch.Tensor | None:
    bench.meter.reset()
    found: torch.Tensor | None = None
    began = time.perf_counter()
    with told(bench.out, f"encode, {whose}"):
        found = work().cpu()
        seconds = round(time.perf_counter() - began, 3)
        bench.tell("encode", whose=whose, seconds=seconds, peak=bench.meter.peak(), **facts)
    return found


def _clips(out: Path, cap: float, offload: str) -> None:
    bench = _bench(out, cap, offload)
    for size in sizes(*_options.sizes.split(",")):
        for kind, ends in (("cold", False), ("warm", False), ("evicted", False), ("ends", True)):
            if kind == "evicted":
                _evict(bench)
            given = Pictures(drawn(size), drawn(size, 1) if ends else None)
            run = Run(bench.meter, pictures=given)
            bench.run(size, steps=None, kind=f"clip_{kind}", run=run)
            bench.tell("turns", size=[size.height, size.width, size.frames], **_turns(bench, run))
    bench.tell("host", **bench.host())


def _turns(bench: Bench, run: Run) -> dict[str, Any]:
    """Seconds of each step, and the longest wait for a block in the step after the change: a look
    comes before every block."""
    marks = run.marks.get("denoise", [])
    layers, boundary = bench.pipeline.preset.layers, bench.pipeline.preset.boundary_step or 0
    begins = marks[::layers]
    gaps = [round(b - a, 3) for a, b in pairwise(marks)]
    at = layers * boundary
    return {
        "steps": [round(b - a, 2) for a, b in pairwise(begins)],
        "change": [*gaps[at - 1 : at], max(gaps[at : at + layers], default=0.0)],
        "median": sorted(gaps)[len(gaps) // 2] if gaps else None,
    }


def _bench(out: Path, cap: float, offload: str) -> Bench:
    return Bench(out, cap, {"offload": offload}, model=I2V)


def _evict(bench: Bench) -> None:
    """Have the system forget the transformers' files, so that they come from the drive again."""
    for file in bench.pipeline._checkpoint.transformers:
        with suppress(OSError, AttributeError), file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def drawn(size: Size, seed: int = 0) -> Frames:
    """A smooth picture of noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rows = np.arange(size.height) * 6 // size.height
    columns = np.arange(size.width) * 8 // size.width
    return np.ascontiguousarray(coarse[rows][:, columns])


TASKS = {task.__name__: task for task in (setup, both, one, lazy, encode)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, default=16.0, help="GiB for the process in all")
    parser.add_argument("--sizes", default=SIZES)
    parser.parse_args(namespace=_options)
    if pretend.ON:
        pretend.stand_in()
    with told(_options.out, f"pictures {_options.task}"):
        TASKS[_options.task](_options.out, _options.cap)


if __name__ == "__main__":
    main()
