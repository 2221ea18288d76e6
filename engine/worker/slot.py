"""The place for one worker: what starts it, whether it is the right one, and how it is let go."""

import time
from collections.abc import Callable
from pathlib import Path

from engine.home import LANE, Home
from engine.machine.memory import MemorySample
from engine.plan.choice import PlanError, values
from engine.plan.lightx2v import REBUILT, SWITCHED
from engine.plan.plans import Plans
from engine.presets import ModelPreset, Presets
from engine.text import NOTHING
from engine.units import GIB
from engine.worker.process import WorkerProcess, worker_environment
from engine.worker.status import EngineState, StatusBoard

# Of a model that this slot never loaded: 22 GB from the file cache, or one that comes with us.
LOAD_SECONDS, SMALL_LOAD_SECONDS = 30.0, 3.0
LOCAL = "local"  # the lane of a machine that has one
IDLE_DEATHS = 3  # in a row without a clip between: then no fresh one until somebody asks


class WorkerSlot:
    """Called by the supervisor's thread only; ``worker`` is None while there is none.

    Args:
        lane: the name of the slot's lane.
        look: samples the memory of the lane's device.
    """

    def __init__(
        self,
        lane: str,
        home: Home,
        presets: Presets,
        plans: Plans,
        look: Callable[[], MemorySample],
        board: StatusBoard,
    ) -> None:
        self._lane, self._log_file = lane, str(worker_log(home, lane))
        self._took: dict[str, float] = {}  # to load a model, by its id
        self._since: float | None = None  # it has been loading
        self._presets, self._plans, self._look, self._board = presets, plans, look, board
        self.worker: WorkerProcess | None = None
        self.has_loaded = False
        self._idle_deaths = 0

    def start(self, model: str) -> None:
        """Start a worker that loads ``model``.

        Raises:
            PlanError: this machine can't run it.
        """
        self.has_loaded = True
        preset = self._presets.models[model]
        plan = self._plans.plan(model)
        environment = worker_environment(preset, self._look()) | lane_environment(self._lane)
        self._since = time.monotonic()
        self.worker = WorkerProcess.start(preset, plan, self._log_file, environment)
        self._board.tell(
            state=EngineState.LOADING,
            model=model,
            label=NOTHING,
            worker_pid=self.worker.process.pid,
            job=None,
            progress=None,
            preview=None,
        )

    def loaded(self, model: str) -> None:
        """The worker has it now: how long that took is what the next time may take."""
        if self._since is not None:
            self._took[model] = time.monotonic() - self._since
            self._since = None

    def loads_in(self, model: str) -> float:
        """Seconds that loading ``model`` took last, or may take."""
        preset = self._presets.models.get(model)
        large = preset is None or bool(preset.weights)
        return self._took.get(model, LOAD_SECONDS if large else SMALL_LOAD_SECONDS)

    def loading_left(self) -> float:
        """Seconds until what is loaded now may be ready; 0 while nothing is loaded."""
        since, status = self._since, self._board.status
        if since is None or status.state is not EngineState.LOADING:
            return 0.0
        return max(0.0, since + self.loads_in(status.model) - time.monotonic())

    def nobody_listened(self) -> None:
        """Until now: its silence meanwhile doesn't count."""
        if self.worker is not None:
            self.worker.hear()

    def fits(self, worker: WorkerProcess, model: str) -> bool:
        """Whether ``worker`` would run ``model`` as it is to be run now. A guest needs nothing of
        what is loaded, and nothing is unloaded for it where there is room beside it."""
        preset = self._presets.models[model]
        if preset.is_guest and self._has_room(worker, preset):
            return True
        try:
            return worker.preset.id == model and worker.runs(self._plans.plan(model))
        except PlanError:
            return False

    def _has_room(self, worker: WorkerProcess, guest: ModelPreset) -> bool:
        """Whether ``guest`` can work in ``worker`` beside what that holds."""
        if guest.runs_on == "cpu":
            return True
        gpu = self._look().gpu
        if gpu is None or worker.preset.runs_on == "cpu":
            return False
        peak = round(guest.memory.baseline_peak_gib * GIB)
        return worker.preset.id == guest.id or gpu.total - gpu.used >= peak

    def become(self, worker: WorkerProcess, model: str) -> bool:
        """Have ``worker`` go on as ``model`` where that has the files that it has loaded, and is
        to be run alike but for what can be changed then: a draft and its model. Else says no."""
        preset = self._presets.models[model]
        if worker.preset.id == model or worker.preset.weights_of != preset.weights_of:
            return False
        try:
            plan = self._plans.plan(model)
        except PlanError:
            return False
        ran, sent = values(worker.plan), values(worker.sent)
        if set(plan) != set(ran) or REBUILT & ran.items():
            return False
        others = (name for name in plan if name not in SWITCHED)
        if not all(plan[name].value in (ran[name], sent.get(name)) for name in others):
            return False
        worker.become(preset, plan)
        self._board.tell(state=EngineState.LOADING, model=model, label=NOTHING)
        return True

    def may_restart(self) -> bool:
        """Whether a worker that ended without a clip may be replaced at once: not for ever."""
        self._idle_deaths += 1
        return self._idle_deaths < IDLE_DEATHS

    def proved(self) -> None:
        """The worker made something: what died before it counts no more."""
        self._idle_deaths = 0

    def end(self, worker: WorkerProcess) -> None:
        """Stop ``worker``, kindly first."""
        worker.stop()
        self.forget(worker)

    def forget(self, worker: WorkerProcess) -> None:
        """``worker`` is gone: let go of its pipe."""
        worker.pipe.close()
        if self.worker is worker:
            self.worker = None
        self._board.tell(
            state=EngineState.OFF,
            worker_pid=None,
            device_bytes=None,
            label=NOTHING,
            job=None,
            progress=None,
            preview=None,
            probing=None,
        )


def lane_environment(lane: str) -> dict[str, str]:
    """What tells a worker which of several lanes it is in."""
    return {} if lane == LOCAL else {LANE: lane}


def worker_log(home: Home, lane: str) -> Path:
    """The log of a lane's workers: two processes that turn one file over would lose lines."""
    return home.logs / ("worker.log" if lane == LOCAL else f"worker-{lane}.log")
