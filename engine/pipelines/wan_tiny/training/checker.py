"""Judges clips of held-out prompts while training goes on, and sums up what a judge said."""

import logging
import random
from typing import Any

import torch

from engine.pipelines.wan_tiny.checkpoint import takes_picture
from engine.pipelines.wan_tiny.training.bank import Shape
from engine.pipelines.wan_tiny.training.conditioning import condition
from engine.pipelines.wan_tiny.training.fit_vae import psnr
from engine.pipelines.wan_tiny.training.judge import judge, score
from engine.pipelines.wan_tiny.training.model import Parts, embed, step_sigmas
from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.training.picture_phrases import compose_for_picture
from engine.pipelines.wan_tiny.training.pictures import TESTED_SPREAD, clean
from engine.pipelines.wan_tiny.training.sample import decode, noise_for, sample
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter
from engine.pipelines.wan_tiny.vocabulary import Scene
from engine.pipelines.wan_tiny.words import DIRECTIONS

log = logging.getLogger(__name__)


class Checker:
    """See the module's docstring; of a transformer that takes a picture the first frame too."""

    def __init__(self, parts: Parts, count: int, device: torch.device) -> None:
        rng = random.Random(4242)
        self._begins = takes_picture(parts.transformer)
        draw = compose_for_picture if self._begins else compose
        pairs = [draw(rng, held=True, two=i % 4 == 3) for i in range(count)]
        self.scenes: list[Scene] = [scene for _, scene in pairs]
        self._parts = parts
        self._device = device
        self._embeddings = embed(parts, [prompt for prompt, _ in pairs], device)
        self._empty = embed(parts, [""], device)

    def check(
        self,
        shape: Shape = (64, 64, 17),
        steps: int = 4,
        guidance: float = 1.0,
        sigmas: list[float] | None = None,
    ) -> dict[str, float]:
        """Shares of what is right over all prompts; two: pairs with everything right."""
        generator = torch.Generator(self._device).manual_seed(99)
        noise = noise_for(len(self.scenes), shape, generator)
        pictures = self._pictures(shape) if self._begins else None
        given = None
        if pictures is not None:
            ends = torch.zeros(len(pictures), dtype=torch.bool, device=self._device)
            given = torch.cat(
                [
                    condition(self._parts.vae, *some)
                    for some in zip(pictures.split(64), ends.split(64), strict=True)
                ]
            )
        sigmas = sigmas or step_sigmas(self._parts.scheduler, steps)
        # Compiling this rare path would cost more than it saves.
        with torch.compiler.set_stance("force_eager"):
            latents = sample(
                self._parts.transformer,
                noise,
                self._embeddings,
                sigmas,
                guidance=guidance,
                empty=self._empty,
                given=given,
            )
        clips = decode(self._parts.vae, latents)
        values = summarise(self.scenes, judge(clips))
        if pictures is not None:
            values["first"] = psnr(pictures[:, :, 0], clips[:, :, 0])
        log.info("check %s steps %d guidance %.1f: %s", shape, steps, guidance, values)
        return values

    def _pictures(self, shape: Shape) -> torch.Tensor:
        """Clips that begin as the scenes do; of them the first frame is given."""
        slots = torch.tensor([slots_of(scene) for scene in self.scenes], device=self._device)
        jitter = draw_jitter(len(slots), torch.Generator(self._device).manual_seed(99))
        return clean(slots, jitter, shape, TESTED_SPREAD)


def summarise(scenes: list[Scene], verdicts: list[Any]) -> dict[str, float]:
    """Shares in [0, 1]: background and all over prompts, colour, shape, motion over subjects."""
    scores = [score(scene, verdict) for scene, verdict in zip(scenes, verdicts, strict=True)]
    pairs = [s.all for scene, s in zip(scenes, scores, strict=True) if len(scene.subjects) == 2]
    singles = [s.all for scene, s in zip(scenes, scores, strict=True) if len(scene.subjects) == 1]
    return {
        "background": _share([s.background for s in scores]),
        "colour": _share([right for s in scores for right in s.colours]),
        "shape": _share([right for s in scores for right in s.shapes]),
        "motion": _share([right for s in scores for right in s.motions]),
        "one": _share(singles),
        "two": _share(pairs),
    }


def report(scenes: list[Scene], verdicts: list[Any]) -> dict[str, float]:
    """summarise(), and how many of the eight-way straight motions go the right way."""
    figures = summarise(scenes, verdicts)
    straight = [
        (scene, verdict)
        for scene, verdict in zip(scenes, verdicts, strict=True)
        if all(subject.motion in DIRECTIONS for subject in scene.subjects)
    ]
    if straight:
        ways = summarise([s for s, _ in straight], [v for _, v in straight])
        figures["direction"] = ways["motion"]
    return figures


def _share(right: list[bool]) -> float:
    return round(sum(right) / len(right), 4) if right else 1.0
