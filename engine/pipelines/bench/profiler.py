"""One stage of a run under torch's profiler, and what its trace says."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from engine.pipelines.base import Pictures, Run
from engine.pipelines.bench import trace
from engine.stages import Frames, Stage


class Profiler:
    """Profiles one stage: the trace begins with it and ends with the next."""

    def __init__(self, stage: Stage, cuda: bool) -> None:
        self.seconds = 0.0
        self._stage, self._cuda = stage, cuda
        self._profile: Any = None
        self._began = 0.0

    def entered(self, stage: Stage) -> None:
        if self._cuda:
            torch.cuda.synchronize()
        if stage == self._stage:
            kinds = torch.profiler.ProfilerActivity
            kind = kinds.CUDA if self._cuda else kinds.CPU
            self._profile = torch.profiler.profile(activities=[kind])
            self._profile.__enter__()
            self._began = time.perf_counter()
        else:
            self.stop()

    def stop(self) -> None:
        """End the profile, if it has begun and not ended: tracing slows whatever follows."""
        if self.seconds == 0.0 and self._profile is not None:
            self.seconds = time.perf_counter() - self._began
            self._profile.__exit__(None, None, None)

    def found(self) -> trace.Step:
        """What ran on the GPU in that stage; call it once the run is over."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(file))
            return trace.read(file)


class Entering:
    """A ``base.Run`` that tells ``profiler`` of each stage, and passes all of it on to ``run``."""

    def __init__(self, run: Run, profiler: Profiler) -> None:
        self._run, self._profiler = run, profiler

    @property
    def pictures(self) -> Pictures:
        return self._run.pictures

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self._profiler.entered(stage)
        self._run.stage(stage, steps)

    def advance(self, fraction: float, step: int = 0) -> None:
        self._run.advance(fraction, step)

    def preview(self, frames: Frames) -> None: ...

    def frames(self, part: Frames) -> None: ...

    def check(self) -> None:
        self._run.check()

    def occupied(self, doing: str, seconds: float) -> None:
        self._run.occupied(doing, seconds)
