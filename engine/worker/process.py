"""The worker as its parent sees it: one spawned process, its pipe, and how it ended."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from engine.jobs import Job
from engine.machine.facts import core_limit
from engine.machine.memory import MemorySample
from engine.plan.choice import Plan, values
from engine.presets import ModelPreset
from engine.process import terminal
from engine.process.patience import WakingClock, waited
from engine.request import Size
from engine.stages import Stage
from engine.text import NOTHING, Text
from engine.worker.messages import (
    Ahead,
    Become,
    Cancel,
    Forget,
    Generate,
    Occupied,
    Stop,
    ToWorker,
)

CANCEL_SECONDS = 5.0  # a worker that hasn't answered a cancel by then is killed
DYING_SECONDS = 30.0
SILENCE_SECONDS = 60.0  # no heartbeat for so long: the interpreter hangs


@dataclass
class WorkerProcess:
    """A running worker and what the supervisor knows of it.

    Its seconds are those of ``clock``: who is silent while this process was held, too, is no
    suspect. ``heard`` is when it spoke last, ``cancel_sent`` when it was asked to cancel.
    ``sent`` is the plan that it was given, ``plan`` the one that it runs. ``occupied``: what it
    does that can't be interrupted, which excuses it until ``excused_until``. ``ahead``: the waiting
    job that it may begin with before that is claimed.
    """

    process: SpawnProcess
    pipe: Connection
    preset: ModelPreset
    plan: Plan
    sent: Plan
    clock: WakingClock = field(default_factory=WakingClock)
    heard: float = 0.0
    ready: bool = False
    job: Job | None = None
    cancel_sent: float | None = None
    occupied: Text | None = None
    excused_until: float = 0.0
    ahead: int | None = None
    probing: Size | None = None
    probed: list[Size] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        preset: ModelPreset,
        plan: Plan,
        log_file: str,
        environment: Mapping[str, str] | None = None,
    ) -> "WorkerProcess":
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_work,
            args=(theirs, preset, plan, log_file, dict(environment or {})),
            name=f"headroom-{preset.id}",
            daemon=True,
        )
        with _shielded():
            process.start()
        theirs.close()  # or the pipe would never end when the child dies
        return cls(process, ours, preset, plan, plan)

    def runs(self, wanted: Plan) -> bool:
        """Whether this is what a fresh child would do with ``wanted``: words don't matter, and
        what the worker had to replace it would replace again, unless the user insists on it."""
        if values(wanted) == values(self.plan):
            return True
        replaced = (name for name in self.sent if self.sent[name].value != self.plan[name].value)
        insisted = any(name in wanted and wanted[name].by == "user" for name in replaced)
        return values(wanted) == values(self.sent) and not insisted

    def plan_of(self, job: Job) -> Plan | None:
        """The plan that ``job`` runs by; None for one that has nothing to do with what is loaded,
        and of which a measurement here would say nothing."""
        return self.plan if job.request.model == self.preset.id else None

    def become(self, preset: ModelPreset, plan: Plan) -> None:
        """Have it go on as another model that has the same files; it says when it is ready."""
        self.preset, self.plan, self.sent, self.ready = preset, plan, plan, False
        self.send(Become(preset, plan))

    def begin(self, order: Generate) -> None:
        """Have it go on with ``order`` as soon as its device is free; that may come to nothing."""
        self.ahead = order.job
        self.send(Ahead(order))

    def forget_ahead(self) -> None:
        """Something else comes next, or nothing."""
        if self.ahead is not None:
            self.ahead = None
            self.send(Forget())

    def has_two_clips(self, stage: Stage | None) -> bool:
        """Whether another one may be computed while its job, which is at ``stage``, is written:
        memory that runs out then says nothing of this job's size."""
        return self.ahead is not None and stage == "save"

    def send(self, message: ToWorker) -> None:
        with contextlib.suppress(OSError):  # a dead child shows at its sentinel
            self.pipe.send(message)

    def hear(self) -> None:
        """It spoke just now, or nobody listened until now."""
        self.heard = self.clock()

    def ask_to_cancel(self, job: int) -> None:
        self.cancel_sent = self.clock()
        self.send(Cancel(job))

    def excuse(self, message: Occupied) -> None:
        """It says that it won't see a cancel for a while."""
        self.occupied = message.doing
        self.excused_until = self.clock() + message.seconds

    def end_excuse(self) -> None:
        """Only from now on it can answer; what it was asked before doesn't count against it."""
        if self.occupied is not None:
            self.occupied, self.excused_until = None, self.clock()

    def overdue(self) -> Text | None:
        """Why it has to be killed: it hangs, or hasn't answered a cancel; None as a rule."""
        now = self.clock()
        if self.ready and now - self.heard > SILENCE_SECONDS:
            return Text("worker.hung", seconds=now - self.heard)
        if self.job is None or self.cancel_sent is None:
            return None
        if now > max(self.cancel_sent, self.excused_until) + CANCEL_SECONDS:
            return Text("worker.no_answer", seconds=now - self.cancel_sent)
        return None

    def take(self, job: Job) -> None:
        self.job, self.cancel_sent = job, None
        self.occupied, self.excused_until = None, 0.0
        self.ahead, self.probing, self.probed = None, None, []

    def drop(self) -> None:
        """It has no job any more."""
        self.job = self.cancel_sent = self.probing = None

    def stop(self) -> None:
        """Kindly, then less kindly."""
        self.send(Stop())
        self.process.join(timeout=1)
        self.kill()

    def kill(self) -> None:
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    @property
    def was_killed(self) -> bool:
        """By signal 9, as the system's out-of-memory killer does; call it once it is gone."""
        return self.process.exitcode == -9

    def how_it_ended(self) -> Text:
        """Half a sentence; call it once the pipe has ended. The process may take its time to go:
        the system takes tens of GB of page-locked memory back first."""
        waited(self._ended_within, DYING_SECONDS)
        code = self.process.exitcode
        if code is not None and code < 0:
            cause = Text("worker.often_out_of_memory") if code == -9 else NOTHING
            return Text("worker.killed", signal=-code, cause=cause)
        if code is None:
            return Text("worker.silent")
        return Text("worker.ended_by_itself", code=code)

    def _ended_within(self, seconds: float) -> bool:
        self.process.join(timeout=seconds)
        return self.process.exitcode is not None

    def ended_during(self, stage: Stage | None) -> Text:
        """The same as a sentence, with the stage that it was in."""
        during = NOTHING
        if stage is not None:
            during = Text("worker.during", stage=Text(f"worker.stage_{stage}"))
        return Text("worker.ended", how=self.how_it_ended(), during=during)


def worker_environment(
    preset: ModelPreset, sample: MemorySample, system: str = sys.platform
) -> dict[str, str]:
    """What must be set before the worker imports torch.

    Args:
        sample: names the GPU: CUDA must compute on the one that is measured.
        system: ``sys.platform``.
    """
    environment = {
        # Every file is there before a worker starts; it shall not ask the network for news.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # LightX2V would set 2, which waits for the GPU after every stage (pipeline.py:4).
        "PROFILING_DEBUG_LEVEL": "0",
    }
    if (threads := core_limit()) is not None and "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(threads)
    if preset.runs_on == "cpu":
        # Threads that spin while they wait for each other take the cores from whoever they wait
        # for: on two cores beside other work a clip took eight times as long (measured).
        environment["OMP_WAIT_POLICY"] = "passive"
    if preset.runs_on == "nvidia":
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order
        if sample.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = sample.gpu.uuid or str(sample.gpu.index)
        if system == "linux":  # elsewhere torch warns and ignores it
            # The second is the name that torch before 2.9 reads.
            for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
                environment[name] = "expandable_segments:True"
    return environment


@contextlib.contextmanager
def _shielded() -> Iterator[None]:
    """Block Ctrl-C, TERM and HUP in this thread meanwhile: a child that starts inherits its mask.

    They reach the whole process group and must not hit a worker that is still importing. Windows
    has no masks; there worker.main ignores them once it runs.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Starting the tracker would unblock two of them again (cpython's resource_tracker.py).
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, terminal.ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
    connection: Connection,
    preset: ModelPreset,
    plan: Plan,
    log_file: str,
    environment: Mapping[str, str],
) -> None:
    """Runs in the child, so that only the child imports what the worker needs."""
    from multiprocessing import util

    from engine.worker import main

    main.main(connection, preset, plan, log_file, environment)
    # Semaphores (tqdm has one) that nobody gives back are told on the user's terminal at the end.
    util._run_finalizers(0)  # type: ignore[attr-defined]
    # Nothing is left to save. Taking torch, CUDA and Triton apart in order takes seconds, and
    # prints what they leak.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
