"""The place for one worker: what starts it, whether it is the right one, and how it is let go."""

from collections.abc import Callable

from engine.home import Home
from engine.machine.memory import MemorySample
from engine.plan.choice import PlanError, values
from engine.plan.lightx2v import REBUILT, SWITCHED
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.text import NOTHING
from engine.worker.process import WorkerProcess, worker_environment
from engine.worker.status import EngineState, StatusBoard

IDLE_DEATHS = 3  # in a row without a clip between: then no fresh one until somebody asks


class WorkerSlot:
    """Called by the supervisor's thread only; ``worker`` is None while there is none.

    Args:
        look: samples the memory of the lane's device.
    """

    def __init__(
        self,
        home: Home,
        presets: Presets,
        plans: Plans,
        look: Callable[[], MemorySample],
        board: StatusBoard,
    ) -> None:
        self._log_file = str(home.logs / "worker.log")
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
        environment = worker_environment(preset, self._look())
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

    def nobody_listened(self) -> None:
        """Until now: its silence meanwhile doesn't count."""
        if self.worker is not None:
            self.worker.hear()

    def fits(self, worker: WorkerProcess, model: str) -> bool:
        """Whether ``worker`` would run ``model`` as it is to be run now."""
        try:
            return worker.preset.id == model and worker.runs(self._plans.plan(model))
        except PlanError:
            return False

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
