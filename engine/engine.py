"""The engine as the page and the commands see it: ask, cancel, look. The work is its lanes'.

Everything that must last is in the store.
"""

import atexit
import logging
import threading
from collections.abc import Sequence

from engine.adapters.pulling import Pulling
from engine.adapters.store import Adapters
from engine.errors import HeadroomError
from engine.guard.guard import Guard
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
from engine.text import Text
from engine.weights.checkpoint import find_checkpoint
from engine.weights.downloads import Downloads
from engine.worker.lane import LOCAL, Lane
from engine.worker.queue_lock import QueueLock
from engine.worker.status import Status

log = logging.getLogger("headroom.engine")
MAKE_ALONE = Text("worker.make_alone")


class Engine:
    """See the module's docstring. ``start`` and ``close`` frame its life."""

    def __init__(
        self, home: Home, presets: Presets, jobs: Jobs, meter: Meter | None = None
    ) -> None:
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
        meter = meter or Meter()
        self.lanes = (Lane(LOCAL, home, presets, jobs, meter, self._queue, self.faults),)

    # ---- by lane ---------------------------------------------------------------------------

    @property
    def lane(self) -> Lane:
        """Where a request goes, and what the page shows: the only lane, as long as there is one."""
        return self.lanes[0]

    @property
    def guard(self) -> Guard:
        return self.lane.guard

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
        return self.lane.status

    def dismiss_notice(self, notice_at: float) -> None:
        """Somebody has read the notice of that time (``Status.notice_at``); a later one stays."""
        for lane in self.lanes:
            lane.supervisor.dismiss_notice(notice_at)

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
        self.lane.supervisor.start(warm, only)

    def test_kernels(self) -> None:
        """In the background, the kernels of a GPU that wasn't tested with this driver and these
        packages. Nothing is kept of it if a model is loaded meanwhile: the times would be wrong."""
        machine = self.machine()
        preset = own_model(machine, self.presets)
        if machine.gpu is None or preset.runs_on == "cpu" or not is_here(preset):
            return
        if self.kernel_test.times(preset) is not None or not self._idle():
            return

        def test() -> None:
            try:
                self.kernel_test.run(preset, undisturbed=self._idle)
            except HeadroomError as error:  # it is no fault: plans go by what is known
                log.warning("the kernels weren't tested: %s", error)
            except Exception:
                log.exception("the kernel test failed")

        threading.Thread(target=test, name="kernel test", daemon=True).start()

    def _idle(self) -> bool:
        return self.status().worker_pid is None and not self.has_loaded

    def expect(self, model: str) -> None:
        """Somebody is about to ask ``model`` for a clip: load it, unless one was loaded before, or
        the queue is paused."""
        self.lane.supervisor.expect(model)

    @property
    def has_loaded(self) -> bool:
        """Whether a model was loaded before; ``expect`` does nothing then."""
        return self.lane.supervisor.has_loaded

    def close(self) -> None:
        """End the worker and the thread; a running job is put back into the queue."""
        atexit.unregister(self.close)
        self.jobs.store.closing.set()
        for lane in self.lanes:
            lane.close()
        self.downloads.close()
        self.pulling.close()
        self.folder_sync.close()
        self.posters.close()

    def submit(self, request: ClipRequest, embed: bool = True) -> Job:
        """Queue ``request``; when this returns, the job is in the database.

        Args:
            embed: whether the MP4 holds the receipt.

        Raises:
            As ``submit_all``.
        """
        return self.submit_all([request], embed)[0]

    def submit_all(
        self,
        requests: Sequence[ClipRequest],
        embed: bool = True,
        visitor: tuple[str, str] = ("", ""),
        may_wait: bool = False,
    ) -> list[Job]:
        """Queue all of ``requests``, in their order, or none.

        Args:
            visitor: id and name of whoever isn't the owner.
            may_wait: also while others hold the memory that it takes.

        Raises:
            Refused: by the guard; nothing was queued.
            NotHere: the model's engine isn't installed.
            WeightsMissing: its files aren't there.
            WeightsError: some are known to be damaged.
            AdapterError: a LoRA isn't there, or is for another model.
            HomeError: there is no folder for clips.
            PictureError: a picture isn't kept here any more.
        """
        self.admit(requests, may_wait)
        jobs = self.jobs.add_all(requests, embed=embed, visitor=visitor)
        self._nudge()
        return jobs

    def admit(self, requests: Sequence[ClipRequest], may_wait: bool = False) -> None:
        """Whether all of ``requests`` might be queued now.

        Raises:
            As ``submit_all``.
        """
        self.home.writable(self.home.clips)
        for request in requests:
            self.intake.check(request)
            self._check_before(request)
        for request in {(r.model, r.size): r for r in requests}.values():
            self.guard.admit(request, may_wait)
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
        self.admit([request], may_wait=True)
        return self._queued(self.jobs.edit(job, request))

    def again(self, job: int) -> Job:
        """Queue what failed or was cancelled once more, with the same seed.

        Raises:
            As ``submit_all``.
            TooLate: it hasn't ended so, or was queued again already.
        """
        old = self.jobs.get(job)
        if old.kind == "clip":
            self.admit([old.request], may_wait=True)
        return self._queued(self.jobs.again(job))

    def measure(self, request: ClipRequest) -> Job:
        """Queue a probe that climbs to ``request``'s size.

        Raises:
            NotHere: the model's engine isn't installed.
            PlanError: this machine can't run it.
            WeightsMissing: its files aren't there.
            WeightsError: some are known to be damaged.
        """
        self.guard.check_here(request.model)
        self.plans.plan(request.model)
        self._check_weights(request.model)
        return self._queued(self.jobs.add(request, "probe"))

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
