"""The engine as the page and the commands see it: ask, cancel, look. The work is its lanes'.

Everything that must last is in the store.
"""

import atexit
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

from engine.adapters.pulling import Pulling
from engine.adapters.store import Adapters
from engine.errors import ExitCode, HeadroomError
from engine.guard.any_lane import AnyLane, Judge
from engine.guard.verdict import Word
from engine.guard.verdicts import Verdicts
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.kernels.kernel_test import KernelTest
from engine.kernels.tasks import own_model
from engine.library.folder_sync import FolderSync
from engine.library.intake import Intake
from engine.library.library import Library, LibraryError
from engine.library.posters import Posters
from engine.library.receipt import MOST_PARTS
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample, Meter
from engine.machine.recorder import FlightRecorder
from engine.pause import Paused
from engine.pipelines import is_here
from engine.plan.choice import Plan
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.process.loops import Faults
from engine.request import ClipRequest
from engine.settings import Settings
from engine.text import NOTHING, Text, listed
from engine.weights.checkpoint import find_checkpoint
from engine.weights.downloads import Downloads
from engine.worker.lane import Lane
from engine.worker.lanes import lanes_here
from engine.worker.queue_lock import QueueLock
from engine.worker.status import Status

log = logging.getLogger("headroom.engine")
MAKE_ALONE = Text("worker.make_alone")


class LaneError(HeadroomError):
    """There is no lane of that name."""

    exit_code = ExitCode.BAD_INPUT


class Engine:
    """See the module's docstring. ``start`` and ``close`` frame its life."""

    def __init__(
        self,
        home: Home,
        presets: Presets,
        jobs: Jobs,
        meter: Meter | None = None,
        on_processor: int | None = None,
    ) -> None:
        """``meter`` and ``on_processor``: as for ``lanes_here``."""
        self.home, self.presets, self.jobs = home, presets, jobs
        self.faults = Faults()
        self.library = Library(home, jobs.store)
        self.folder_sync = FolderSync(self.library, self.faults)
        self.intake = Intake(home)
        self.posters = Posters(self.library, self.faults)
        self.settings = Settings(jobs.store)
        self.downloads = Downloads(home, presets)
        self.adapters, self.pulling = Adapters(home), Pulling(home)
        self._queue = QueueLock(home)
        found = lanes_here(home, presets, jobs, self._queue, self.faults, meter, on_processor)
        self.lanes, self.dispatch, self.left_out = found.all, found.dispatch, found.left_out
        several = [Judge(lane.seat.title, lane.guard, lane.seat.everything) for lane in self.lanes]
        one = len(self.lanes) == 1
        self.guard: Verdicts = self.lane.guard if one else AnyLane(presets, several)

    # ---- by lane ---------------------------------------------------------------------------

    @property
    def lane(self) -> Lane:
        """The first, which the page shows where there is room for one."""
        return self.lanes[0]

    def has_idle_lane(self, model: str) -> bool:
        """Whether a clip of ``model`` that is asked for now needn't wait for another one's end.
        Which lanes are busy the rows tell, also of what another process makes."""
        busy = {job.lane for job in self.jobs.all_running()}
        idle = [lane for lane in self.lanes if lane.suits(model) and lane.name not in busy]
        return bool(idle) and busy <= {lane.name for lane in self.lanes}

    def lane_of(self, job: Job) -> Lane:
        """The one that makes ``job``, or made it; the first where that isn't here any more."""
        return next((lane for lane in self.lanes if lane.name == job.lane), self.lane)

    def lane_named(self, name: str) -> Lane:
        """Raises LaneError: there is none of that name."""
        for lane in self.lanes:
            if lane.name == name:
                return lane
        known = listed(*(lane.name for lane in self.lanes))
        raise LaneError(Text("lanes.unknown", name=name[:40]), Text("lanes.known", names=known))

    def lane_or_first(self, name: str | None) -> Lane:
        """As ``lane_named``; the first where none is named."""
        return self.lane_named(name) if name else self.lane

    def guard_of(self, name: str | None) -> Verdicts:
        """The guard of the lane of that name; of any lane where none is named."""
        return self.lane_named(name).guard if name else self.guard

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
        if len(self.lanes) == 1:
            return self.lane.status
        running, every = self.jobs.running(), [lane.status for lane in self.lanes]
        at_work = next((s for s in every if running and s.job == running.id), None)
        shown = at_work or next((status for status in every if status.worker_pid), every[0])
        latest = max(every, key=lambda status: status.notice_at)
        waits = next((status.waiting_for for status in every if status.waiting_for), NOTHING)
        return replace(shown, waiting_for=waits, notice=latest.notice, notice_at=latest.notice_at)

    def status_of(self, job: Job) -> Status:
        """Of the lane that makes ``job``; of one that waits as ``status``."""
        return self.lane_of(job).status if job.state is State.RUNNING else self.status()

    def dismiss_notice(self, notice_at: float) -> None:
        """Somebody has read the notice of that time (``Status.notice_at``); a later one stays."""
        for lane in self.lanes:
            lane.supervisor.dismiss_notice(notice_at)

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

    # ---- called from any thread ------------------------------------------------------------

    def start(self, warm: str | None = None, only: int | None = None) -> None:
        """Begin to work on the queue.

        Args:
            warm: as ``expect``.
            only: work on this one job and leave the others to whoever comes next.
        """
        # Whoever forgets to close must not hang at exit: multiprocessing sends its children a TERM
        # there, which the worker ignores, and waits. (Handlers run last in, first out.)
        atexit.register(self.close)
        for lane in self.lanes:
            lane.supervisor.start(warm if lane is self.lane else None, only)

    def test_kernels(self) -> None:
        """In the background, the kernels of a GPU that wasn't tested with this driver and these
        packages. Nothing is kept of it if a model is loaded meanwhile: the times would be wrong."""
        untested = []
        for lane in self.lanes:
            machine = lane.machine()
            preset = own_model(machine, self.presets)
            if machine.gpu is None or preset.runs_on == "cpu" or not is_here(preset):
                continue
            if lane.kernel_test.times(preset) is None and self._idle():
                untested.append((lane, preset))

        def test() -> None:
            for lane, preset in untested:
                try:
                    lane.kernel_test.run(preset, undisturbed=self._idle)
                except HeadroomError as error:  # it is no fault: plans go by what is known
                    log.warning("the kernels of %s weren't tested: %s", lane.name, error)
                except Exception:
                    log.exception("the kernel test of %s failed", lane.name)

        if untested:
            threading.Thread(target=test, name="kernel test", daemon=True).start()

    def _idle(self) -> bool:
        return not self.has_loaded and all(lane.status.worker_pid is None for lane in self.lanes)

    def expect(self, model: str) -> None:
        """Somebody is about to ask ``model`` for a clip: load it, unless one was loaded before, or
        the queue is paused."""
        if not self.has_loaded:
            suited = (lane for lane in self.lanes if lane.suits(model))
            next(suited, self.lane).supervisor.expect(model)

    @property
    def has_loaded(self) -> bool:
        """Whether a model was loaded before; ``expect`` does nothing then."""
        return any(lane.supervisor.has_loaded for lane in self.lanes)

    def close(self) -> None:
        """End the worker and the thread; a running job is put back into the queue."""
        atexit.unregister(self.close)
        self.jobs.store.closing.set()
        for lane in self.lanes:
            lane.supervisor.end_soon()
        for lane in self.lanes:
            lane.close()
        self.downloads.close()
        self.pulling.close()
        self.folder_sync.close()
        self.posters.close()

    def submit(self, request: ClipRequest, embed: bool = True, lane: str = "") -> Job:
        """Queue ``request``; when this returns, the job is in the database.

        Args:
            embed: whether the MP4 holds the receipt.
            lane: as for ``submit_all``.

        Raises:
            As ``submit_all``.
        """
        return self.submit_all([request], embed, lane=lane)[0]

    def submit_all(
        self,
        requests: Sequence[ClipRequest],
        embed: bool = True,
        visitor: tuple[str, str] = ("", ""),
        may_wait: bool = False,
        lane: str = "",
    ) -> list[Job]:
        """Queue all of ``requests``, in their order, or none.

        Args:
            visitor: id and name of whoever isn't the owner.
            may_wait: also while others hold the memory that it takes.
            lane: the name of the one that shall make them; "" leaves it to the queue.

        Raises:
            Refused: by the guard; nothing was queued.
            LaneError: there is no such lane.
            NotHere: the model's engine isn't installed.
            WeightsMissing: its files aren't there.
            WeightsError: some are known to be damaged.
            AdapterError: a LoRA isn't there, or is for another model.
            HomeError: there is no folder for clips.
            PictureError: a picture isn't kept here any more.
        """
        self.admit(requests, may_wait, lane)
        jobs = self.jobs.add_all(requests, embed=embed, visitor=visitor, wanted=lane)
        self._nudge()
        return jobs

    def admit(
        self, requests: Sequence[ClipRequest], may_wait: bool = False, lane: str = ""
    ) -> None:
        """Whether all of ``requests`` might be queued now.

        Raises:
            As ``submit_all``.
        """
        self.home.writable(self.home.clips)
        for request in requests:
            self.intake.check(request)
            self._check_before(request)
        guard = self.guard_of(lane)
        for request in {(r.model, r.size): r for r in requests}.values():
            guard.admit(request, may_wait)
        for model in {request.model for request in requests}:
            self._check_weights(model)
        for model, adapters in {(r.model, r.adapters) for r in requests if r.adapters}:
            self.adapters.check(adapters, self.presets.models[model])

    def _check_before(self, request: ClipRequest) -> None:
        """Raises LibraryError: the clip that it goes on from can't be joined with it."""
        if request.after is None:
            return
        clip = self.library.with_digest(request.after)
        if clip is None:
            raise LibraryError(Text("worker.clip_before_gone"), Text("worker.make_alone"))
        fps = self.presets.models[request.model].fps
        before = self.presets.models.get(clip.request.model)
        if before is not None and before.fps != fps:
            raise LibraryError(Text("library.other_rate", one=before.fps, other=fps), MAKE_ALONE)
        if (clip.request.height, clip.request.width) != (request.height, request.width):
            size = f"{clip.request.width} × {clip.request.height}"
            raise LibraryError(Text("library.other_size", size=size), Text("library.take_size"))
        if len(clip.receipt.get("parts") or ()) >= MOST_PARTS:
            raise LibraryError(Text("library.many_parts", most=MOST_PARTS), MAKE_ALONE)

    def edit(self, job: int, request: ClipRequest) -> Job:
        """Make a waiting job another request, at its place.

        Raises:
            As ``submit_all``.
            TooLate: it isn't waiting any more.
        """
        self.admit([request], may_wait=True, lane=self.jobs.get(job).wanted)
        return self._queued(self.jobs.edit(job, request))

    def again(self, job: int) -> Job:
        """Queue what failed or was cancelled once more, with the same seed.

        Raises:
            As ``submit_all``.
            TooLate: it hasn't ended so, or was queued again already.
        """
        old = self.jobs.get(job)
        if old.kind == "clip":
            self.admit([old.request], may_wait=True, lane=old.wanted)
        return self._queued(self.jobs.again(job))

    def measure(self, request: ClipRequest, lane: str = "") -> Job:
        """Queue a probe that climbs to ``request``'s size.

        Args:
            lane: the name of the one that is measured; "" takes the first where that would tell
                something new.

        Raises:
            LaneError: there is no such lane.
            NotHere: the model's engine isn't installed.
            PlanError: this machine can't run it.
            WeightsMissing: its files aren't there.
            WeightsError: some are known to be damaged.
        """
        self.guard.check_here(request.model)
        where = self.lane_named(lane) if lane else self._lane_to_measure(request)
        where.plans.plan(request.model)
        self._check_weights(request.model)
        wanted = where.name if len(self.lanes) > 1 else ""
        return self._queued(self.jobs.add(request, "probe", wanted=wanted))

    def _lane_to_measure(self, request: ClipRequest) -> Lane:
        suited = [lane for lane in self.lanes if lane.suits(request.model)]
        for lane in suited:
            if lane.guard.verdict(request.model, request.size).word is Word.LOCKED:
                return lane
        return suited[0]

    def cancel(self, job: int) -> State:
        state = self.jobs.cancel(job)
        self._nudge()
        return state

    def pause(self, now: bool = False) -> None:
        """Begin no job until ``resume``, be it after a restart. What runs is finished, or with
        ``now`` put back into the queue; then the worker ends, and its memory is free.

        Raises:
            StoreError: it couldn't be written down, so nothing is paused.
        """
        self.jobs.pause.set(Paused.NOW if now else Paused.AFTER)
        self._nudge()

    def resume(self) -> None:
        """End a pause; no error where there is none.

        Raises:
            StoreError: it couldn't be written down.
        """
        self.jobs.pause.set(Paused.NO)
        self._nudge()

    def is_paused(self) -> bool:
        """Whether the queue is paused, by whichever process; what runs may not have ended yet."""
        return bool(self.jobs.pause.get())

    def cancel_strays(self) -> None:
        """Cancel what visitors have unfinished whose share is over."""
        if self.jobs.cancel_strays():
            self._nudge()

    def is_elsewhere(self) -> bool:
        """Whether another process works on this folder's queue."""
        return self._queue.is_elsewhere()

    def plan_for(self, model: str) -> Plan:
        """How this machine runs ``model``: the page shows the reasons, the receipt keeps them.

        Raises:
            PlanError: it can't.
        """
        return self.plans.plan(model)

    def check_ready(self, model: str) -> None:
        """Whether ``model`` could be loaded.

        Raises:
            NotHere, WeightsMissing, WeightsError: as ``submit_all``.
        """
        self.guard.check_here(model)
        self._check_weights(model)

    def _check_weights(self, model: str) -> None:
        preset = self.presets.models[model]
        if preset.weights:
            find_checkpoint(self.downloads.folder(model), preset)
            self.downloads.refuse_damaged(model)

    def _queued(self, job: Job) -> Job:
        self._nudge()
        return job

    def _nudge(self) -> None:
        for lane in self.lanes:
            lane.supervisor.nudge()
