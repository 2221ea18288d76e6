"""One loaded pipeline around LightX2V, and what a test may do to it."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from engine.machine.facts import this_machine
from engine.pipelines.base import WORDS_ALONE, Cancelled, OutOfMemory, Pictures, PipelineError
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.pipelines.lightx2v.pipeline import LightX2V
from engine.plan.choice import Choice, Plan
from engine.plan.make import make_plan
from engine.presets import load_presets
from engine.request import Adapter, ClipRequest
from engine.stages import Frames, Stage
from engine.text import Said

PROMPT = "a red ball moves left"


@dataclass
class Recorder:
    """A ``Run`` that writes everything down, and raises where it is told to."""

    pictures: Pictures = WORDS_ALONE
    stop_at: int | None = None  # cancel at this call of ``check``
    told: list[tuple[Any, ...]] = field(default_factory=list)
    previews: list[Frames] = field(default_factory=list)
    parts: list[Frames] = field(default_factory=list)
    checks: int = 0

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.told.append(("stage", stage, steps))

    def advance(self, fraction: float, step: int = 0) -> None:
        self.told.append(("advance", round(fraction, 4), step))

    def preview(self, frames: Frames) -> None:
        self.previews.append(frames)

    def frames(self, part: Frames) -> None:
        self.parts.append(part.copy())

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise Cancelled

    def occupied(self, doing: Said, seconds: float) -> None:
        self.told.append(("occupied", str(doing), seconds))


def import_at_once() -> None:
    """LightX2V and what it brings, of which none is garbage: a pipeline looks for that after each
    failure, and would go through hundreds of thousands of objects every time."""
    import_lightx2v()
    gc.freeze()


class Bench:
    """One loaded pipeline and the latents of each clip that reached the decoder."""

    def __init__(self, model: str, **choices: str) -> None:
        self.preset = load_presets().models[model]
        plan = dict(make_plan(this_machine(), self.preset))
        plan |= {name: Choice(value, "For the test.") for name, value in choices.items()}
        self.asked: Plan = plan
        self.pipeline = LightX2V(self.preset)
        self.plan = self.pipeline.load(plan)
        self.runner: Any = self.pipeline._runner
        self.latents: list[torch.Tensor] = []
        decode = self.runner.run_vae_decoder

        def keeping(latents: torch.Tensor) -> Any:
            self.latents.append(latents.clone())
            return decode(latents)

        self.runner.run_vae_decoder = keeping

    def clip(
        self,
        seed: int = 7,
        size: tuple[int, int, int] = (64, 96, 9),
        prompt: str = PROMPT,
        run: Recorder | None = None,
        steps: int | None = None,
        adapters: tuple[Adapter, ...] = (),
    ) -> Frames:
        height, width, frames = size
        model = self.preset.id
        request = ClipRequest(prompt, height, width, frames, seed, model, adapters=adapters)
        return self.pipeline.generate(request, seed, run or Recorder(), steps)

    def same(self) -> bool:
        return torch.equal(self.latents[0], self.latents[-1])

    @property
    def infer(self) -> Any:
        return self.runner.model.transformer_infer

    def break_block(self, at: int, error: Exception) -> Callable[[], None]:
        """Raise ``error`` inside the ``at``-th block from now; returns what takes it back."""
        whole, calls = self.infer.infer_block, []

        def breaking(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == at:
                raise error
            return whole(*arguments)

        self.infer.infer_block = breaking
        return lambda: setattr(self.infer, "infer_block", whole)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(F.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def raised(action: Callable[[], object]) -> str:
    """What ``action`` raised as text; "" if nothing."""
    try:
        action()
    except OutOfMemory as error:
        return f"OutOfMemory {error.memory}: {error}"
    except (PipelineError, Exception) as error:
        return f"{type(error).__name__}: {error}"
    return ""
