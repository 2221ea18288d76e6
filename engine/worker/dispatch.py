"""Which job a lane makes next: in the queue's order, each job where it will be over first.

Every lane's thread asks for itself. Two of them may see the queue a moment apart; who claims a job
first has it, so none is made twice.
"""

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.guard.verdict import Word
from engine.jobs import Job, Jobs
from engine.known_machines import KnownMachines

FRESH_SECONDS = 0.5  # what the lanes answered counts for all of them; the second look is exact
FARTHEST = 1000  # jobs ahead: one behind them waits until some of them are begun
UNKNOWN_SECONDS = 60.0  # of a clip that no lane has ever timed: what counts is the same for all


@dataclass(frozen=True)
class Turn:
    """A waiting job's lane, and in how many seconds it begins there, None where nobody knows.
    ``only``: no other lane may make it now."""

    job: Job
    lane: str
    begins: float | None
    only: bool


class Taker(Protocol):
    """A lane as far as sharing the queue goes; any thread may ask. Seconds throughout."""

    @property
    def name(self) -> str: ...

    def refuses(self, job: Job) -> bool:
        """Whether ``job`` isn't for this lane, whatever the memory says; asked of every job."""

    def word(self, job: Job) -> Word:
        """The verdict on ``job`` here; asked once for all jobs of a size."""

    def takes(self, job: Job) -> float | None:
        """How long ``job`` takes here with its model loaded; None where nobody knows."""

    def left(self) -> float | None:
        """Until it is free: 0 for one that has nothing to do, None where nobody knows."""

    def loads(self, model: str, after: str | None) -> float:
        """To load ``model`` where ``after`` is the model of the job before, None for what is loaded
        now; 0 where it is loaded then."""


class Dispatch:
    """See the module's docstring. ``lanes`` are set once all are made."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self._machines = jobs, KnownMachines(jobs.store)
        self.lanes: Sequence[Taker] = ()
        self._asked, self._asked_at = _Asked(), float("-inf")

    def next_for(self, lane: str, only: int | None = None) -> Job | None:
        """What ``lane`` makes next, or would if it could; None where all waits for other lanes.

        Args:
            only: the one job that is worked on at all.
        """
        if len(self.lanes) < 2:
            return self._first(only)
        limit = FARTHEST if only is None else -1
        waiting = [job for job in self._jobs.waiting(limit) if only in (None, job.id)]
        waiting = [job for job in waiting if not self.waits_for_machine(job)]
        found = turns(waiting, self.lanes, self._answers())
        return next((turn.job for turn in found if turn.lane == lane), None)

    def _first(self, only: int | None) -> Job | None:
        """Of a single lane, which refuses what isn't for it."""
        for limit in (1, FARTHEST) if only is None else (-1,):
            for job in self._jobs.waiting(limit):
                if only in (None, job.id) and not self.waits_for_machine(job):
                    return job
        return None

    def waits_for_machine(self, job: Job) -> bool:
        """Whether ``job`` was asked of another machine, which isn't here now."""
        here = job.wanted == "" or any(lane.name == job.wanted for lane in self.lanes)
        return not here and self._machines.has_lane(job.wanted)

    def turns(self, jobs: Sequence[Job]) -> list[Turn]:
        """Where each of ``jobs``, waiting in this order, will be made."""
        return list(turns(jobs, self.lanes, self._answers()))

    def _answers(self) -> "_Asked":
        now = time.monotonic()
        if now - self._asked_at > FRESH_SECONDS:
            self._asked, self._asked_at = _Asked(), now
        return self._asked

    def has_other(self, job: Job, lane: str) -> bool:
        """Whether another lane may make ``job``, now or once others give memory back."""
        able = [other for other in self.lanes if other.name != lane and not other.refuses(job)]
        wanted = [other for other in able if job.wanted in ("", other.name)]
        return any(other.word(job) in (Word.OPEN, Word.BUSY) for other in wanted)


def turns(
    jobs: Sequence[Job], lanes: Sequence[Taker], asked: "_Asked | None" = None
) -> Iterator[Turn]:
    """Where each of ``jobs`` is made and when: each is given in its turn to the lane where it ends
    first, behind what that lane was given before.

    Args:
        asked: what the lanes have answered a moment ago.
    """
    left = {lane.name: lane.left() for lane in lanes}
    unsure = {name for name, seconds in left.items() if seconds is None}
    free = {name: UNKNOWN_SECONDS if s is None else s for name, s in left.items()}
    after: dict[str, str | None] = dict.fromkeys(free)
    asked = asked or _Asked()
    for job in jobs:
        able = asked.able(job, lanes)
        known = {lane.name: asked.takes(lane, job) for lane in able}
        guess = min((s for s in known.values() if s is not None), default=None)
        begins, ends = {}, {}
        for lane in able:
            took = known[lane.name]
            took = guess if took is None else took
            load = lane.loads(job.request.model, after[lane.name])
            begins[lane.name] = free[lane.name] + load
            ends[lane.name] = begins[lane.name] + (UNKNOWN_SECONDS if took is None else took)
        chosen = min(ends, key=ends.__getitem__)
        yield Turn(job, chosen, None if chosen in unsure else begins[chosen], len(able) == 1)
        free[chosen] = ends[chosen]
        if job.request.source is None or after[chosen] is None:
            after[chosen] = job.request.model
        if known[chosen] is None and guess is None:
            unsure.add(chosen)


class _Asked:
    """What the lanes answered: of a queue of thousands most jobs are alike. Two threads may fill
    it at once; the worst is that a lane is asked twice."""

    def __init__(self) -> None:
        self._words: dict[Hashable, Word] = {}
        self._seconds: dict[Hashable, float | None] = {}

    def takes(self, lane: Taker, job: Job) -> float | None:
        key = lane.name, _alike(job)
        if key not in self._seconds:
            self._seconds[key] = lane.takes(job)
        return self._seconds[key]

    def able(self, job: Job, lanes: Sequence[Taker]) -> list[Taker]:
        """The lanes that may make ``job``; else those where only others' use of the memory is in
        the way; else the one that is to refuse it."""
        named = [lane for lane in lanes if job.wanted in ("", lane.name)]
        willing = [(lane, self._word(lane, job)) for lane in named if not lane.refuses(job)]
        for word in (Word.OPEN, Word.BUSY):
            if found := [lane for lane, told in willing if told is word]:
                return found
        if willing:
            return [min(willing, key=lambda told: told[1].rank)[0]]
        return [(named or lanes)[0]]

    def _word(self, lane: Taker, job: Job) -> Word:
        key = lane.name, _alike(job)
        if key not in self._words:
            self._words[key] = lane.word(job)
        return self._words[key]


def _alike(job: Job) -> Hashable:
    """What the lanes' answers depend on. A second try may be allowed what a first one isn't."""
    return job.kind, job.request.model, job.request.size, job.id if job.attempts else None
