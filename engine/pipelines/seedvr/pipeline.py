"""A worker that has SeedVR2 loaded: it makes a clip's pictures larger, with new detail."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from engine.machine.memory import sample_host
from engine.pipelines.base import Frame, Run, StageMeter
from engine.pipelines.changers import described
from engine.pipelines.cuda import CudaMeter, told_errors
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.ram import RamMeter
from engine.pipelines.seedvr.enlarger import Most, SeedVr
from engine.pipelines.weight_files import parts_of
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames, Stage
from engine.text import Said
from engine.units import GIB

log = logging.getLogger("headroom.seedvr")

# Of a clip's seconds, as measured (docs/measured.md), for the bar.
SHARES: Mapping[str, tuple[float, float]] = {
    "encode": (0.0, 0.27),
    "denoise": (0.27, 0.15),
    "decode": (0.42, 0.58),
}
RAM_PARTS = 4  # of the RAM that is left a clip may take one: the network's blocks take 6.3 GiB
LEAST_HELD = 1 * GIB


class SeedVrWorker:
    """See the module's docstring. ``parts``: seconds and peak bytes of the last clip's encode,
    denoise and decode, which are one stage to whoever waits for it."""

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self.parts: dict[str, dict[str, float]] = {}
        self.meter: StageMeter = RamMeter()

    def load(self, plan: Plan) -> Plan:
        device = import_lightx2v()
        if device == "cuda":
            self.meter = Parted()
        found = parts_of(self.preset)
        most = Most(self.preset.memory.window_tokens or Most.tokens, _held())
        with told_errors():
            self._seedvr = SeedVr(
                found["transformer"],
                found["vae"],
                torch.device(device),
                str(plan["offload"].value),
                most,
            )
        return plan

    def enlarge(
        self, frames: Iterable[Frame], request: ClipRequest, count: int, seed: int, run: Run
    ) -> Iterator[Frame]:
        """``count`` frames in the size of ``request``; the stage is its caller's.

        Raises:
            Cancelled: soon after ``run.check`` first could raise it.
            OutOfMemory, Broken: the worker is restarted afterwards.
        """
        telling = Telling(run, self.meter)
        sides = request.height, request.width
        with told_errors():
            try:
                yield from self._seedvr.enlarge(frames, count, *sides, seed, telling)
            finally:
                self.parts = telling.ended()

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        """A probe: any frames of half the size, made as large as ``request`` says."""
        run.stage("enlarge")
        half = np.linspace(0, 255, request.height * request.width * 3 // 4, dtype=np.uint8)
        small = half.reshape(request.height // 2, request.width // 2, 3)
        made = [*self.enlarge([small] * request.frames, request, request.frames, seed, run)]
        return np.stack(made)

    def describe(self) -> Mapping[str, Said]:
        return {**described(self.preset)}


def _held() -> int:
    """Bytes of RAM in which a clip may lie while it is made."""
    return max(LEAST_HELD, min(Most.held, sample_host(None).available // RAM_PARTS))


class Parted(CudaMeter):
    """A meter whose peak is that of the largest part."""

    def __init__(self) -> None:
        super().__init__()
        self._top = 0

    def reset(self) -> None:
        super().reset()
        self._top = 0

    def part(self) -> int:
        """The peak since the last part ended; another one begins."""
        found = super().peak()
        self._top = max(self._top, found)
        super().reset()
        return found

    def peak(self) -> int:
        return max(self._top, super().peak())


class Telling:
    """What the enlarger tells of its parts, as one stage of the clip."""

    def __init__(self, run: Run, meter: StageMeter) -> None:
        self._run, self._meter = run, meter
        self._parts: dict[str, dict[str, float]] = {}
        self._part: Stage | None = None
        self._began = 0.0
        self._of = 0.0, 1.0

    def part(self, begin: float, share: float) -> None:
        self._of = begin, share

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self._leave()
        self._part, self._began = stage, time.perf_counter()

    def advance(self, fraction: float, step: int = 0) -> None:
        first, part = SHARES[self._part or "encode"]
        begin, share = self._of
        self._run.advance(begin + share * (first + part * fraction))

    def check(self) -> None:
        self._run.check()

    def ended(self) -> dict[str, dict[str, float]]:
        self._leave()
        log.info("by parts: %s", self._parts)
        return self._parts

    def _leave(self) -> None:
        if self._part is None:
            return
        peak = self._meter.part() if isinstance(self._meter, Parted) else self._meter.peak()
        before: Mapping[str, Any] = self._parts.get(self._part, {"seconds": 0.0, "peak": 0})
        seconds = before["seconds"] + time.perf_counter() - self._began
        self._parts[self._part] = {
            "seconds": round(seconds, 3),
            "peak": max(before["peak"], peak),
        }
        self._part = None
