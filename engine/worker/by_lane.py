"""The engine's lanes, of this machine and of those that joined: whose a job is, which has nothing
to do, what any of them may make."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from engine.errors import ExitCode, HeadroomError
from engine.guard.any_lane import AnyLane, Judge
from engine.guard.verdicts import Verdicts
from engine.jobs import Job, Jobs, State
from engine.kernels.kernel_test import KernelTest
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample
from engine.machine.recorder import FlightRecorder
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.text import NOTHING, Said, Text, listed
from engine.worker.dispatch import Dispatch
from engine.worker.lane import Lane
from engine.worker.maker import Maker
from engine.worker.progress import Progress, TimeLeft
from engine.worker.status import Status

AnyMaker = TypeVar("AnyMaker", bound=Maker)


class LaneError(HeadroomError):
    """There is no lane of that name."""

    exit_code = ExitCode.BAD_INPUT


def title_of(lane: Maker) -> Said:
    """What people call it; a machine's only lane has no title of its own."""
    return lane.seat.title or Text("lanes.here")


def _named(name: str, lanes: Sequence[AnyMaker]) -> AnyMaker:
    """Raises LaneError: ``lanes`` have none of that name."""
    for lane in lanes:
        if lane.name == name:
            return lane
    known = listed(*(lane.name for lane in lanes))
    raise LaneError(Text("lanes.unknown", name=name[:40]), Text("lanes.known", names=known))


class ByLane:
    """See the module's docstring; any thread may ask. ``lanes`` are this machine's, at least one;
    ``away`` those of machines that joined, which come and go."""

    def __init__(
        self, lanes: Sequence[Lane], dispatch: Dispatch, presets: Presets, jobs: Jobs
    ) -> None:
        self.lanes, self.away = tuple(lanes), tuple[Maker, ...]()
        self.dispatch, self.presets, self.jobs = dispatch, presets, jobs
        self.guard: Verdicts = self._guard()

    @property
    def lane(self) -> Lane:
        """The first, which the page shows where there is room for one."""
        return self.lanes[0]

    @property
    def makers(self) -> tuple[Maker, ...]:
        """All lanes, this machine's first."""
        return (*self.lanes, *self.away)

    def set_away(self, away: Sequence[Maker], feeds: bool = True) -> None:
        """Machines joined, or left.

        Args:
            feeds: this process gives them their jobs.
        """
        self.away = tuple(away)
        self.guard = self._guard()
        self.dispatch.lanes = self.makers if feeds else self.lanes

    def _guard(self) -> Verdicts:
        if len(self.makers) == 1:
            return self.lane.guard
        judges = [Judge(title_of(lane), lane.guard, lane.suits) for lane in self.makers]
        return AnyLane(self.presets, judges)

    def is_ready_away(self, model: str) -> bool:
        """Whether another machine has what ``model`` needs."""
        return any(lane.suits(model) for lane in self.away)

    def has_idle_lane(self, model: str) -> bool:
        """Whether a clip of ``model`` that is asked for now needn't wait for another one's end.
        Which lanes are busy the rows tell, also of what another process makes."""
        busy = {job.lane for job in self.jobs.all_running()}
        idle = [lane for lane in self.makers if lane.suits(model) and lane.name not in busy]
        return bool(idle) and busy <= {lane.name for lane in self.makers}

    def lane_of(self, job: Job) -> Maker:
        """The one that makes ``job``, or made it; the first where that isn't here any more."""
        return next((lane for lane in self.makers if lane.name == job.lane), self.lane)

    def maker_named(self, name: str) -> Maker:
        """Raises LaneError: there is none of that name."""
        return _named(name, self.makers)

    def lane_named(self, name: str) -> Lane:
        """Of this machine. Raises LaneError: there is none of that name here."""
        if any(lane.name == name for lane in self.away):
            raise LaneError(Text("lanes.elsewhere", name=name[:40]), Text("lanes.do_it_there"))
        return _named(name, self.lanes)

    def lane_or_first(self, name: str | None) -> Lane:
        """As ``lane_named``; the first where none is named."""
        return self.lane_named(name) if name else self.lane

    def guard_of(self, name: str | None) -> Verdicts:
        """The guard of the lane of that name; of any lane where none is named."""
        return self.maker_named(name).guard if name else self.guard

    @property
    def plans(self) -> Plans:
        return self.lane.plans

    @property
    def kernel_test(self) -> KernelTest:
        return self.lane.kernel_test

    @property
    def recorder(self) -> FlightRecorder:
        return self.lane.recorder

    def status(self) -> Status:
        """Of the lane whose job began first, else of one that has a worker; what any lane tells."""
        if len(self.makers) == 1:
            return self.lane.status
        running, every = self.jobs.running(), [lane.status for lane in self.makers]
        at_work = next((s for s in every if running and s.job == running.id), None)
        shown = at_work or next((status for status in every if status.worker_pid), every[0])
        latest = max(every, key=lambda status: status.notice_at)
        waits = next((status.waiting_for for status in every if status.waiting_for), NOTHING)
        return replace(shown, waiting_for=waits, notice=latest.notice, notice_at=latest.notice_at)

    def status_of(self, job: Job) -> Status:
        """Of the lane that makes ``job``; of one that waits as ``status``."""
        return self.lane_of(job).status if job.state is State.RUNNING else self.status()

    def progress(self, job: Job) -> Progress | None:
        """Of a job that is being made; None before the first word of it."""
        return self.lane_of(job).progress(job)

    def time_left(self, job: Job) -> TimeLeft | None:
        """Of a job that is being made; None where nobody knows."""
        lane, request = self.lane_of(job), job.request
        progress = lane.progress(job)
        if progress is None:
            return None
        past = lane.guard.last_seconds(request.model, request.size)
        return progress.time_left({} if job.kind == "probe" else past)

    def dismiss_notice(self, notice_at: float) -> None:
        """Somebody has read the notice of that time (``Status.notice_at``); a later one stays."""
        for lane in self.makers:
            lane.dismiss_notice(notice_at)

    def record(self) -> None:
        """Have each lane's memory written down, for the gauge and for what becomes of a clip."""
        for lane in self.lanes:
            lane.recorder.start()

    def look(self) -> MemorySample:
        """The memory as it is now."""
        return self.lane.look()

    def machine(self) -> Machine:
        """This computer with the GPU that is here now."""
        return self.lane.machine()
