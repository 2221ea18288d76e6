"""How much sooner a queue is over on two lanes than on one, and what a lane costs a clip."""

import time
from dataclasses import dataclass
from pathlib import Path

from engine.commands.bench import clips
from engine.commands.bench.row import BenchFailed, Say, median
from engine.engine import Engine
from engine.machine.facts import this_machine

CLIPS = 8
LANES = 2
ROUNDS = 3  # in turn, so that what else the machine does meets both


@dataclass(frozen=True)
class LaneSeconds:
    """Medians of the seconds until a queue of ``CLIPS`` is over, on two lanes and on one; ``adds``:
    seconds of a clip on the one in which its pipeline doesn't compute; ``slower``: how many times
    as long a pipeline's own computing takes beside the other's, which no queue can mend; ``cores``
    of each lane."""

    two: float
    one: float
    adds: float
    slower: float
    cores: int


def can_measure() -> bool:
    """Lanes that share one core can't be faster than one."""
    return this_machine().cores >= LANES


def lanes(folder: Path, say: Say) -> LaneSeconds:
    """One engine with two lanes of as many cores; for the reference all clips name the first."""
    with clips.opened(folder, LANES) as engine:
        first = engine.lanes[0]
        for lane in engine.lanes:
            _queue(engine, lane.name, 1, 0)
        say(f"{LANES} lanes have the model")
        one, two, adds, slower = [], [], [], []
        for turn in range(ROUNDS):
            taken, own = _queue(engine, first.name, CLIPS, 100 * (2 * turn + 1))
            one.append(taken)
            adds.append(taken / CLIPS - own)
            taken, beside = _queue(engine, "", CLIPS, 100 * (2 * turn + 2))
            two.append(taken)
            slower.append(beside / own)
            say(f"{CLIPS} clips on one lane and on {LANES}, {turn + 1} of {ROUNDS}")
        cores = first.machine().cores
        return LaneSeconds(median(two), median(one), median(adds), median(slower), cores)


def _queue(engine: Engine, lane: str, count: int, seed: int) -> tuple[float, float]:
    """Seconds until ``count`` clips are kept, and the median of what their pipeline counted."""
    requests = [clips.request_of(engine, None, seed + number) for number in range(count)]
    began = time.perf_counter()
    done = [clips.ended(engine, job) for job in engine.submit_all(requests, lane=lane)]
    taken = time.perf_counter() - began
    own = []
    for job in done:
        clip = engine.library.of_job(job.id)
        if clip is None:
            raise BenchFailed(job.note, job.remedy)
        own.append(clips.computing(clip.receipt))
    return taken, median(own)
