"""What a GPU does between two clips of a queue: ``python -m tests.tools.gpu.between OUT.jsonl``.

The same clips, begun while the last one is written and not, in turn. Random weights of the true
shapes; their clips are noise, which takes the encoder longer than any real one.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.commands.bench.clips import computing
from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.install import installed
from engine.request import Size
from engine.worker.next_clip import NextClip
from tests.tools.gpu.lanes import asked, ended, write
from tests.tools.gpu.rows import MODEL, sizes, tell

CLIPS, ROUNDS = 4, 2


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """As it was: a clip begins once the last one is kept."""
    look_ahead = NextClip.look_ahead
    NextClip.look_ahead = lambda *_: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        NextClip.look_ahead = look_ahead  # type: ignore[method-assign]


def queue(engine: Engine, size: Size, seed: int) -> dict[str, Any]:
    """Some clips that wait for each other: seconds of each in which nothing is computed, without
    the last one's own end; and what each took, held and is."""
    began = time.perf_counter()
    jobs = engine.submit_all([asked(size, seed + n) for n in range(CLIPS)])
    receipts = []
    for job in jobs:
        ended(engine, job)
        clip = engine.library.of_job(job.id)
        assert clip is not None, "it is done"
        receipts.append(clip.receipt)
    taken = time.perf_counter() - began
    own = sum(map(computing, receipts))
    last = receipts[-1]["stages"]["save"]
    return {
        "seconds": round(taken, 2),
        "idle": round((taken - own - last) / (CLIPS - 1), 3),
        "stages": [receipt["stages"] for receipt in receipts],
        "peaks": [receipt["peaks"] for receipt in receipts],
        "frames": [receipt["frames_sha256"][:12] for receipt in receipts],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", default="480x832x33,480x832x81")
    options = parser.parse_args()
    out: Path = options.out
    installed.engine_here = lambda: True  # this machine has no diffusers
    with open_engine() as engine:
        folder = engine.downloads.folder(MODEL)
        writing = multiprocessing.get_context("spawn").Process(target=write, args=(folder,))
        writing.start()  # torch is for that process and the workers
        writing.join()
        engine.start()
        for size in sizes(*options.sizes.split(",")):
            if not engine.guard.verdict(MODEL, size).open:
                ended(engine, engine.measure(asked(size, 1)))
            ended(engine, engine.submit(asked(size, 1)))
            tell(out, "ready", size=str(size), plan=str(engine.plans.values(MODEL)))
            for _ in range(ROUNDS):
                tell(out, "beside", size=str(size), **queue(engine, size, 10))
                with one_after_the_other():
                    tell(out, "alone", size=str(size), **queue(engine, size, 10))


if __name__ == "__main__":
    main()
