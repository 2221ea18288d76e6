"""Stage "distil": teaches the transformer to reach in four steps what it reaches in sixteen.

The student walks its own four steps; from each place it comes to, the frozen teacher (many steps,
with guidance) shows where the way ends. Learning on its own ways keeps its errors from adding up.
"""

import copy
import itertools
import logging
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.tiny.bank import Prompts, Shape, tokens_of
from engine.tiny.fit_flow import SHIFT, Checker, Plan, compile_blocks, draw_shape
from engine.tiny.model import Parts, embed, step_sigmas
from engine.tiny.optim import MuonAdam
from engine.tiny.run import Average, Clock, Log, load_state, save_state
from engine.tiny.sample import noise_for, sample, velocity

log = logging.getLogger(__name__)
TEACHER_STEPS = 16
REUSE = 6  # times that a taught example is trained on before it is replaced
RATE = 0.35  # of the flow stage's peak learning rates
CHECK_EVERY = 45.0


@dataclass
class Lessons:
    """Taught examples of one clip shape: where the student was, and where the way ends."""

    states: torch.Tensor
    ends: torch.Tensor
    levels: torch.Tensor
    rows: torch.Tensor
    uses: int = 0


class School:
    """Makes lessons for each clip shape and replaces them when they were used enough."""

    def __init__(
        self,
        parts: Parts,
        prompts: Prompts,
        teacher: Any,
        empty: torch.Tensor,
        generator: torch.Generator,
        plan: Plan,
        guidance: float,
    ) -> None:
        self._student = parts.transformer
        self._teacher = teacher
        self._prompts = prompts
        self._empty = empty
        self._generator = generator
        self._plan = plan
        self._guidance = guidance
        self.sigmas = step_sigmas(parts.scheduler)
        self._lessons: dict[Shape, Lessons] = {}

    def take(self, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One batch: states, their noise levels [B], where they end, embeddings."""
        lessons = self._lessons.get(shape)
        count = max(1, self._plan.tokens // tokens_of(shape))
        steps = len(self.sigmas) - 1
        if lessons is None or lessons.uses >= REUSE * steps:
            lessons = self._teach(shape, count)
            self._lessons[shape] = lessons
        lessons.uses += 1
        device = lessons.states.device
        pick = torch.randperm(len(lessons.levels), generator=self._generator, device=device)[:count]
        embeddings = self._prompts.embeddings[lessons.rows[pick]].float()
        return lessons.states[pick], lessons.levels[pick], lessons.ends[pick], embeddings

    @torch.no_grad()
    def _teach(self, shape: Shape, count: int) -> Lessons:
        device = self._generator.device
        rows = torch.randint(
            len(self._prompts.slots), (count,), generator=self._generator, device=device
        )
        embeddings = self._prompts.embeddings[rows].float()
        state = noise_for(count, shape, self._generator)
        states, ends, levels = [], [], []
        for sigma, after in itertools.pairwise(self.sigmas):
            level = torch.full((count,), sigma, device=device)
            end = sample(
                self._teacher,
                state,
                embeddings,
                teacher_sigmas(sigma),
                guidance=self._guidance,
                empty=self._empty,
            )
            states.append(state)
            ends.append(end)
            levels.append(level)
            flow = velocity(self._student, state, level, embeddings)
            state = state + (after - sigma) * flow
        return Lessons(
            torch.cat(states), torch.cat(ends), torch.cat(levels), rows.repeat(len(ends))
        )


def teacher_sigmas(start: float) -> list[float]:
    """The teacher's noise levels from start down to 0, as dense everywhere as in a full run."""
    level = start / (SHIFT - (SHIFT - 1) * start)
    steps = max(4, round(TEACHER_STEPS * level))
    levels = [level * (steps - i) / steps for i in range(steps + 1)]
    return [SHIFT * u / (1 + (SHIFT - 1) * u) for u in levels]


def fit_distil(
    parts: Parts,
    folder: Path,
    *,
    minutes: float,
    seed: int,
    device: torch.device,
    resume: bool = False,
    scale: float = 1.0,
    guidance: float = 1.5,
) -> None:
    """Train parts.transformer in place from its own many-step samples; keeps folder/distil.pt.

    The teacher is parts.transformer as it comes in. A resumed run goes on with the student.
    """
    torch.manual_seed(seed)
    plan = Plan.scaled(scale) if scale != 1.0 else Plan()
    student = parts.transformer.to(device).train()
    teacher = copy.deepcopy(student).eval().requires_grad_(False)
    state = load_state(folder / "distil.pt", device) if resume else {}
    if state:
        student.load_state_dict(state["weights"])
    first = state.get("step", 0)
    generator = torch.Generator(device).manual_seed(seed + first)
    prompts = Prompts.draw(parts, seed + first, plan.prompts, device)
    empty = embed(parts, [""], device)
    checker = Checker(parts, plan.checked, device)
    compile_blocks(student, device)
    compile_blocks(teacher, device)
    school = School(parts, prompts, teacher, empty, generator, plan, guidance)
    optimizer, average = MuonAdam(student), Average(student, 0.998)
    clock, curve, rng = Clock(minutes), Log(folder / "distil.csv"), random.Random(seed + first)
    checked, total = 0.0, 0.0
    for step in clock.steps(first):
        states, levels, ends, embeddings = school.take(draw_shape(rng, 1.0))
        loss = distil_loss(student, states, levels, ends, embeddings)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(optimizer.weights, 1.0)
        optimizer.step(clock.rate(RATE, step - first, warmup=100))
        average.update()
        if step % 50 == 0:
            total = loss.item()
            log.info("distil step %d %.0f s loss %.5f", step, clock.seconds, total)
        if clock.seconds - checked > CHECK_EVERY or clock.progress >= 1.0:
            checked = clock.seconds
            average.swap()
            save_state(folder / "distil.pt", weights=student.state_dict(), step=step + 1)
            curve.row(step=step, seconds=checked, loss=total, **checker.check())
            average.swap()
    average.swap()
    student.eval()


def distil_loss(
    student: Any,
    states: torch.Tensor,
    levels: torch.Tensor,
    ends: torch.Tensor,
    embeddings: torch.Tensor,
) -> torch.Tensor:
    """Mean squared error of the clean latents that the student's velocity points to."""
    wide = levels[:, None, None, None, None]
    reached = states - wide * velocity(student, states, levels, embeddings)
    return ((reached - ends) ** 2).mean()
