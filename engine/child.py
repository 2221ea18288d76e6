"""The worker as its parent sees it: one spawned process, its pipe, and how it ended."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from engine.choice import values
from engine.jobs import Job
from engine.memory import MemorySample
from engine.messages import Stop, ToWorker
from engine.plan import Plan
from engine.presets import ModelPreset
from engine.request import Size


@dataclass
class Child:
    """A running worker and what the supervisor knows of it.

    ``sent`` is the plan that it was given, ``plan`` the one that it runs.
    """

    process: SpawnProcess
    pipe: Connection
    preset: ModelPreset
    plan: Plan
    sent: Plan
    heard: float = field(default_factory=time.monotonic)
    ready: bool = False
    job: Job | None = None
    cancel_sent: float | None = None
    probing: Size | None = None
    probed: list[Size] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        preset: ModelPreset,
        plan: Plan,
        log_file: str,
        environment: Mapping[str, str] | None = None,
    ) -> "Child":
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_work,
            args=(theirs, preset, plan, log_file, dict(environment or {})),
            name=f"headroom-{preset.id}",
            daemon=True,
        )
        _shield_children()
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

    def send(self, message: ToWorker) -> None:
        with contextlib.suppress(OSError):  # a dead child shows at its sentinel
            self.pipe.send(message)

    def take(self, job: Job) -> None:
        self.job, self.cancel_sent = job, None
        self.probing, self.probed = None, []

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

    def how_it_ended(self) -> str:
        """Half a sentence; call it once the process is gone."""
        self.process.join(timeout=2)
        code = self.process.exitcode
        if code is not None and code < 0:
            cause = " (often the system's out-of-memory killer)" if code == -9 else ""
            return f"The engine process was killed by signal {-code}{cause}"
        return f"The engine process ended by itself with exit code {code}"


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
    if preset.runs_on == "nvidia":
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # NVML's order
        if sample.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = sample.gpu.uuid or str(sample.gpu.index)
        if system == "linux":  # elsewhere torch warns and ignores it
            # The second is the name that torch before 2.9 reads.
            for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
                environment[name] = "expandable_segments:True"
    return environment


def _shield_children() -> None:
    """Block Ctrl-C and TERM in this thread, whose mask the next child inherits.

    They reach the whole process group and must not hit a worker that is still importing. Windows
    has no masks; there worker.main ignores them once it runs.
    """
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        # Starting the tracker would unblock the two again (cpython's resource_tracker.py).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _work(
    connection: Connection,
    preset: ModelPreset,
    plan: Plan,
    log_file: str,
    environment: Mapping[str, str],
) -> None:
    """Runs in the child, so that only the child imports what the worker needs."""
    from engine import worker

    worker.main(connection, preset, plan, log_file, environment)
    # Nothing is left to save. Taking torch, CUDA and Triton apart in order takes seconds, and
    # prints what they leak.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)
