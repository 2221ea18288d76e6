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
from engine.guard.verdict import Word
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.kernels.tasks import own_model
from engine.library.folder_sync import FolderSync
from engine.library.follow_up import FollowUp
from engine.library.intake import Intake
from engine.library.library import Library, LibraryError
from engine.library.posters import Posters
from engine.library.receipt import MOST_PARTS
from engine.library.sources import Sources
from engine.library.versions import Changers
from engine.machine.memory import Meter
from engine.pause import Paused
from engine.pipelines import is_here
from engine.plan.choice import Plan
from engine.presets import ModelPreset, Presets
from engine.process.loops import Faults
from engine.request import ClipRequest
from engine.settings import Settings
from engine.text import Text
from engine.weights.checkpoint import find_parts
from engine.weights.downloads import Downloads
from engine.worker.by_lane import ByLane, LaneError
from engine.worker.lane import Lane
from engine.worker.lanes import lanes_here
from engine.worker.queue_lock import QueueLock

log = logging.getLogger("headroom.engine")
MAKE_ALONE = Text("worker.make_alone")


class Engine(ByLane):
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
        self.home = home
        self.faults = Faults()
        self.library = Library(home, jobs.store)
        self.sources = Sources(home, jobs.store)
        self.folder_sync = FolderSync(self.library, self.faults)
        self.intake = Intake(home)
        self.posters = Posters(self.library, self.faults)
        self.settings = Settings(jobs.store)
        self.downloads = Downloads(home, presets)
        self.adapters, self.pulling = Adapters(home), Pulling(home)
        self.queue = QueueLock(home)
        found = lanes_here(home, presets, jobs, self.queue, self.faults, meter, on_processor)
        self.left_out = found.left_out
        super().__init__(found.all, found.dispatch, presets, jobs)

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
        smooth: int = 0,
        side: int = 0,
    ) -> list[Job]:
        """Queue all of ``requests``, in their order, or none.

        Args:
            visitor: id and name of whoever isn't the owner.
            may_wait: also while others hold the memory that it takes.
            lane: the name of the one that shall make them; "" leaves it to the queue.
            smooth, side: another version of each follows by itself, with so many frames a second,
                and with a shorter side of so many pixels; 0 leaves that as it is.

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
        follows: list[FollowUp | None] = []
        if smooth or side:
            models, changers = self.presets.models, self.changers()
            follows = [FollowUp.of(models[one.model], changers, smooth, side) for one in requests]
        jobs = self.jobs.add_all(
            requests, embed=embed, visitor=visitor, wanted=lane, follows=follows
        )
        self.nudge()
        return jobs

    def admit(
        self,
        requests: Sequence[ClipRequest],
        may_wait: bool = False,
        lane: str = "",
        joins_here: bool = True,
    ) -> None:
        """Whether all of ``requests`` might be queued now.

        Args:
            joins_here: a clip that one goes on from is in the library of this machine.

        Raises:
            As ``submit_all``.
        """
        self.home.writable(self.home.clips)
        for request in requests:
            self.intake.check(request)
            if joins_here:
                self._check_before(request)
        guard = self.guard_of(lane)
        for request in {(r.model, r.size): r for r in requests}.values():
            guard.admit(request, may_wait)
        for model in {request.model for request in requests}:
            self._check_weights(model, lane)
        for model, adapters in {(r.model, r.adapters) for r in requests if r.adapters}:
            self.adapters.check(adapters, self.presets.models[model])

    def _check_before(self, request: ClipRequest) -> None:
        """Raises LibraryError: the clip that it goes on from can't be joined with it, or the one
        that it changes is gone."""
        if request.clip is None:
            return
        clip = self.library.with_digest(request.clip)
        if request.source is not None:
            if clip is None and self.sources.find(request.source) is None:
                raise LibraryError(Text("worker.source_gone"), Text("worker.choose_source"))
            return
        if clip is None:
            raise LibraryError(Text("worker.clip_before_gone"), Text("worker.make_alone"))
        fps = self.presets.models[request.model].fps
        preset = self.presets.models.get(clip.request.model)
        before = clip.fps or (preset and preset.fps) or fps
        if before != fps:
            raise LibraryError(Text("library.other_rate", one=before, other=fps), MAKE_ALONE)
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
        where = self.maker_named(lane) if lane else self._lane_to_measure(request)
        if isinstance(where, Lane):
            where.plans.plan(request.model)
        self._check_weights(request.model, where.name)
        wanted = where.name if len(self.makers) > 1 else ""
        return self._queued(self.jobs.add(request, "probe", wanted=wanted))

    def _lane_to_measure(self, request: ClipRequest) -> Lane:
        suited = [lane for lane in self.lanes if lane.suits(request.model)]
        for lane in suited:
            if lane.guard.verdict(request.model, request.size).word is Word.LOCKED:
                return lane
        return suited[0]

    def cancel(self, job: int) -> State:
        state = self.jobs.cancel(job)
        self.nudge()
        return state

    def pause(self, now: bool = False) -> None:
        """Begin no job until ``resume``, be it after a restart. What runs is finished, or with
        ``now`` put back into the queue; then the worker ends, and its memory is free.

        Raises:
            StoreError: it couldn't be written down, so nothing is paused.
        """
        self.jobs.pause.set(Paused.NOW if now else Paused.AFTER)
        self.nudge()

    def resume(self) -> None:
        """End a pause; no error where there is none.

        Raises:
            StoreError: it couldn't be written down.
        """
        self.jobs.pause.set(Paused.NO)
        self.nudge()

    def is_paused(self) -> bool:
        """Whether the queue is paused, by whichever process; what runs may not have ended yet."""
        return bool(self.jobs.pause.get())

    def cancel_strays(self) -> None:
        """Cancel what visitors have unfinished whose share is over."""
        if self.jobs.cancel_strays():
            self.nudge()

    def is_elsewhere(self) -> bool:
        """Whether another process works on this folder's queue."""
        return self.queue.is_elsewhere()

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

    def is_ready_here(self, model: str) -> bool:
        """Whether this machine itself could load ``model``, whatever others have."""
        try:
            self.lane.guard.check_here(model)
            self._check_weights(model, self.lane.name)
        except HeadroomError:
            return False
        return True

    def changers(self) -> Changers:
        """What would make another version now: the best that is ready and has the memory."""
        return Changers.of(self.presets, self._could_change)

    def _could_change(self, preset: ModelPreset) -> bool:
        try:
            self.check_ready(preset.id)
        except HeadroomError:
            return False
        return self.guard.verdict(preset.id, self.guard.rules(preset.id).baseline).open

    def _check_weights(self, model: str, lane: str = "") -> None:
        """``lane``: the one that shall make what is asked for; "" where any may."""
        preset = self.presets.models[model]
        away = next((one for one in self.away if one.name == lane), None)
        if away is not None and not away.suits(model):
            missing = Text("joined.not_ready_there", model=preset.name, machine=away.seat.title)
            raise LaneError(missing, Text("joined.fetch_there"))
        if away is not None or (not lane and self.is_ready_away(model)):
            return
        if preset.weights:
            find_parts(self.downloads.folder(model), preset)
            self.downloads.refuse_damaged(model)

    def _queued(self, job: Job) -> Job:
        self.nudge()
        return job

    def nudge(self) -> None:
        """There is something new in the queue."""
        for lane in self.makers:
            lane.nudge()
