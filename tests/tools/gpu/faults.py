"""A real CUDA fault inside our worker, when a file asks for it.

``install`` in the supervisor's process, before it starts a worker. FILE (HEADROOM_GPU_FAULT) says
at which check of the job the fault comes; it is removed then, so that it comes once.
"""

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.worker import process
from tests.tools.gpu import pretend

FILE = "HEADROOM_GPU_FAULT"


def install(file: Path) -> None:
    os.environ[FILE] = str(file)
    process._work = _work


def _work(
    connection: Connection,
    preset: ModelPreset,
    plan: Plan,
    log_file: str,
    environment: Mapping[str, str],
) -> None:
    """In place of ``process._work``, in the worker's process."""
    from engine.worker.job_run import JobRun

    whole = JobRun.check
    seen: dict[int, int] = {}

    def check(self: JobRun) -> None:
        whole(self)
        asked = Path(os.environ[FILE])
        if not asked.exists():
            return
        seen[self._job] = seen.get(self._job, 0) + 1
        if seen[self._job] >= int(asked.read_text()):
            asked.unlink()
            poison()

    JobRun.check = check  # type: ignore[method-assign]
    process._work(connection, preset, plan, log_file, environment)


def poison() -> None:
    """An index far outside of its tensor: a device-side assert, which no later call survives."""
    import torch

    if pretend.ON:
        from engine.pipelines.base import Broken

        raise Broken("CUDA's context is dead, as far as can be pretended.", "Try again.")
    far = torch.full((1,), 2**40, device="cuda")
    torch.zeros(8, device="cuda")[far].sum()
    torch.cuda.synchronize()
