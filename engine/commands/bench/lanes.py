"""How much sooner a queue is over on two lanes than on one, and what a lane costs a clip."""

from dataclasses import dataclass
from pathlib import Path

from engine.commands.bench import clips
from engine.commands.bench.row import Say, median
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
            clips.queue(engine, 1, 0, lane.name)
        say(f"{LANES} lanes have the model")
        one, two, adds, slower = [], [], [], []
        for turn in range(ROUNDS):
            taken, alone = clips.queue(engine, CLIPS, 100 * (2 * turn + 1), first.name)
            one.append(taken)
            adds.append(taken / CLIPS - median(alone))
            taken, beside = clips.queue(engine, CLIPS, 100 * (2 * turn + 2))
            two.append(taken)
            slower.append(median(beside) / median(alone))
            say(f"{CLIPS} clips on one lane and on {LANES}, {turn + 1} of {ROUNDS}")
        cores = first.machine().cores
        return LaneSeconds(median(two), median(one), median(adds), median(slower), cores)
