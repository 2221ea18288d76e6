"""A queue of clips on two GPUs against one: ``python -m tests.tools.gpu.lanes OUT.jsonl``.

Writes random weights of the true shapes first, and opens the size by one test on each card.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.install import installed
from engine.jobs import Job, State
from engine.request import ClipRequest, Size
from tests.tools.gpu.rows import MODEL, PROMPT, sizes, tell

CLIPS, ROUNDS = 8, 2
PATIENCE = 300.0


def queue(engine: Engine, size: Size, count: int, seed: int, lane: str = "") -> float:
    """Seconds until ``count`` clips are there."""
    began = time.perf_counter()
    jobs = [engine.submit(asked(size, seed + n), lane=lane) for n in range(count)]
    for job in jobs:
        ended(engine, job)
    return time.perf_counter() - began


def asked(size: Size, seed: int) -> ClipRequest:
    return ClipRequest(PROMPT, size.height, size.width, size.frames, seed, MODEL)


def ended(engine: Engine, job: Job) -> Job:
    deadline = time.monotonic() + PATIENCE
    while not (found := engine.jobs.get(job.id)).state.final:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job.id}: {found.state}")
        time.sleep(0.02)
    if found.state is not State.DONE:
        raise RuntimeError(f"job {job.id}: {found.note}")
    return found


def write(folder: Path) -> None:
    from engine.pipelines.lightx2v import standins
    from tests.tools.gpu import true_shape

    with standins.standing_in():
        true_shape.write(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="480x832x33")
    options = parser.parse_args()
    (size,) = sizes(options.size)
    out: Path = options.out
    installed.engine_here = lambda: True  # this machine has no diffusers
    with open_engine() as engine:
        began = time.perf_counter()
        writing = multiprocessing.get_context("spawn").Process(
            target=write, args=(engine.downloads.folder(MODEL),)
        )
        writing.start()  # torch is for that process and the workers
        writing.join()
        names = [lane.name for lane in engine.lanes]
        tell(out, "setup", seconds=round(time.perf_counter() - began), lanes=names)
        engine.start()
        for name in names:
            began = time.perf_counter()
            if not engine.guard_of(name).verdict(MODEL, size).open:
                ended(engine, engine.measure(asked(size, 1), name))
            ended(engine, engine.submit(asked(size, 1), lane=name))
            tell(out, "ready", lane=name, seconds=round(time.perf_counter() - began, 1))
        for turn in range(ROUNDS):
            one = queue(engine, size, CLIPS, 100 * (2 * turn + 1), names[0])
            both = queue(engine, size, CLIPS, 100 * (2 * turn + 2))
            clips = engine.library.newest(CLIPS)
            stages = [clip.receipt["stages"] for clip in clips]
            tell(out, "queue", one=round(one, 2), both=round(both, 2), stages=stages)
        same = [engine.submit(asked(size, 5), lane=name) for name in names]
        digests = []
        for job in same:
            ended(engine, job)
            clip = engine.library.of_job(job.id)
            digests.append(clip.receipt["frames_sha256"] if clip is not None else "")
        tell(out, "same", equal=len(set(digests)) == 1)


if __name__ == "__main__":
    main()
