"""One loaded 14B and what its runs cost: what every measurement is made of."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.pipelines.base import WORDS_ALONE, Cancelled, OutOfMemory, Pictures, PipelineError
from engine.pipelines.cuda import CudaMeter
from engine.pipelines.lightx2v import pipeline
from engine.plan.choice import Choice, Plan
from engine.presets import load_presets
from engine.request import Adapter, ClipRequest, Size
from engine.stages import Frames, Stage
from engine.text import Said
from engine.units import GIB
from tests.tools.gpu import pretend
from tests.tools.gpu.rows import MODEL, PROMPT, tell

BASE: dict[str, str | int] = {
    "device": "cuda",
    "precision": "fp8",
    "attention": "torch_sdpa",
    "matmul": "fp8-triton",
    "text_encoder": "fp8-triton",
    "offload": "block",
    "decode": "whole",
    "rope_chunk": 8192,
    "compile": "off",
}


@dataclass
class Run:
    """A ``base.Run`` that keeps seconds and bytes by stage.

    ``stop_at`` cancels at that check. ``watch`` is called at every check, with the stage and how
    many of its checks came before; ``entered`` when a stage begins, with the one before.
    """

    meter: CudaMeter
    stop_at: int | None = None
    watch: Callable[[str, int], None] | None = None
    entered: Callable[[Stage], None] | None = None
    pictures: Pictures = WORDS_ALONE
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    allocated: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[float]] = field(default_factory=dict)
    reached: str = ""
    checks: int = 0
    previews: int = 0
    _open: bool = False
    _began: float = 0.0

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.leave()
        if self.entered is not None:
            self.entered(stage)
        self.reached, self._open = stage, True
        self.meter.reset()
        self._began = time.perf_counter()

    def leave(self) -> None:
        if self._open:
            torch.cuda.synchronize()
            self.seconds[self.reached] = round(time.perf_counter() - self._began, 3)
            self.peaks[self.reached] = self.meter.peak()
            self.allocated[self.reached] = torch.cuda.max_memory_allocated()
            self._open = False

    def advance(self, fraction: float, step: int = 0) -> None: ...

    def frames(self, part: Frames) -> None: ...

    def occupied(self, doing: Said, seconds: float) -> None: ...

    def preview(self, frames: Frames) -> None:
        self.previews += 1

    def check(self) -> None:
        self.checks += 1
        marks = self.marks.setdefault(self.reached, [])
        if self.watch is not None:
            self.watch(self.reached, len(marks))
        marks.append(time.perf_counter())
        if self.checks == self.stop_at:
            raise Cancelled


class Bench:
    """One loaded pipeline; ``rows`` go to ``out`` as they come.

    Args:
        cap: GiB for the process in all.
        choices: what the plan is to be instead of BASE.
        settings: what LightX2V's settings file shall say besides.
        model: whose pipeline it is.
    """

    def __init__(
        self,
        out: Path,
        cap: float,
        choices: Mapping[str, str | int] | None = None,
        settings: Mapping[str, Any] | None = None,
        model: str = MODEL,
    ) -> None:
        self.model = model
        self.out, self.cap, self.choices = out, cap, {**BASE, **(choices or {})}
        if pretend.ON:
            self.choices |= pretend.CHOICES
            pretend.stand_in()
        self.settings = dict(settings or {})
        self.need = 0
        plan: Plan = {name: Choice(value, "measured") for name, value in self.choices.items()}
        free = psutil.virtual_memory().available
        began = time.perf_counter()
        self.pipeline = pipeline.LightX2V(load_presets().models[model])
        with _settings(self.settings):
            ran = self.pipeline.load(plan)
        if pretend.ON:
            self.pipeline.meter = pretend.meter()
        assert isinstance(self.pipeline.meter, CudaMeter)
        self.meter = self.pipeline.meter
        self.tell(
            "load",
            seconds=round(time.perf_counter() - began, 1),
            ran={name: choice.value for name, choice in ran.items()},
            replaced={n: str(c.reason) for n, c in ran.items() if str(c.reason) != "measured"},
            versions={name: str(told) for name, told in self.pipeline.describe().items()},
            device=self.meter.device,
            outside=self.meter.outside(),
            host_taken=free - psutil.virtual_memory().available,
            **self.host(),
        )

    @property
    def runner(self) -> Any:
        return self.pipeline._runner

    @property
    def infer(self) -> Any:
        return self.runner.model.transformer_infer

    def host(self) -> dict[str, int | None]:
        """Bytes of RAM: pinned by us, by torch, and resident."""
        return {
            "pinned": getattr(getattr(self.pipeline, "_arena", None), "pinned", None),
            "torch_pinned": torch.cuda.host_memory_stats().get("allocated_bytes.current"),
            "rss": int(psutil.Process().memory_info().rss),
        }

    def tell(self, kind: str, **facts: Any) -> None:
        tell(self.out, kind, cap=self.cap, choices={**self.choices, **self.settings}, **facts)

    def run(
        self,
        size: Size,
        seed: int = 7,
        steps: int | None = 1,
        kind: str = "run",
        run: Run | None = None,
        prompt: str = PROMPT,
        adapters: tuple[Adapter, ...] = (),
        **facts: Any,
    ) -> Frames | None:
        """A run under the cap, told as ``kind``; its frames, or None if it failed."""
        run = run or Run(self.meter)
        asked = prompt, size.height, size.width, size.frames, seed, self.model
        request = ClipRequest(*asked, adapters=adapters)
        outcome, frames = "ok", None
        try:
            with self.meter.ceiling(round(self.cap * GIB)):
                frames = self.pipeline.generate(request, seed, run, steps)
                run.leave()
        except OutOfMemory as error:
            cause = str(error.__cause__).partition("\n")[0][:200]
            outcome = f"out_of_memory in {run.reached}: {error.memory}; {cause}"
        except PipelineError as error:
            outcome = str(error)
        self.need = max(run.allocated.values(), default=0) + self.meter.outside()
        self.tell(
            kind,
            size=[size.height, size.width, size.frames],
            tokens=size.tokens,
            pixels=size.pixels,
            steps=steps,
            outcome=outcome,
            seconds=run.seconds,
            peaks=run.peaks,
            allocated=run.allocated,
            block_ms=block_milliseconds(run.marks.get("denoise", [])),
            **facts,
        )
        return frames


def block_milliseconds(marks: list[float]) -> float | None:
    """The median distance of two checks: LightX2V waits for the GPU after each offloaded block."""
    gaps = sorted(b - a for a, b in pairwise(marks))
    return round(1000 * gaps[len(gaps) // 2], 2) if gaps else None


@contextmanager
def _settings(more: Mapping[str, Any]) -> Iterator[None]:
    module: Any = pipeline
    made = module.run_settings
    module.run_settings = lambda *args: made(*args) | dict(more)
    try:
        yield
    finally:
        module.run_settings = made
