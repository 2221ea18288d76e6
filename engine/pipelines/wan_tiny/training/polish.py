"""Goes on training a finished folder's VAE.

``python -m engine.pipelines.wan_tiny.training.polish FOLDER --out OUT``. The latents stay close to
where they were (--anchor), so that the transformer trained on them stays nearly right;
``train --stage flow --resume`` then follows what is left.
"""

import argparse
import copy
import logging
import math
import random
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.pipelines.wan_tiny.codec import decode_all, encode_moments
from engine.pipelines.wan_tiny.training.bank import Shape
from engine.pipelines.wan_tiny.training.checker import Checker
from engine.pipelines.wan_tiny.training.evaluate import held_out_prompts, named
from engine.pipelines.wan_tiny.training.fast import Replayed, quicken
from engine.pipelines.wan_tiny.training.fit_vae import psnr, training_scenes
from engine.pipelines.wan_tiny.training.model import Parts, load, save
from engine.pipelines.wan_tiny.training.optim import MuonAdam
from engine.pipelines.wan_tiny.training.run import Average, Clock, Log, pick_device, save_state
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter, render

log = logging.getLogger(__name__)
# Clip shapes, how many in a batch, and how often each is drawn.
SHAPES: tuple[tuple[Shape, int, float], ...] = (
    ((64, 64, 17), 64, 6.0),
    ((128, 128, 17), 16, 2.0),
    ((64, 112, 17), 36, 1.0),
    ((64, 64, 33), 32, 0.4),
    ((256, 256, 9), 8, 0.8),
)
KEPT = 64  # batches of each shape in its bank, and at most this many bytes
KEPT_BYTES = 4_000_000_000
FRESH = 0.25  # new clips per clip trained on
NOISE = 0.03  # deviations of noise on the latents: what a transformer gives is never exact
# The goal is the mean of dB over clips, that is of log(error); this much of the plain error keeps
# clips that are hard to draw (two small subjects) in sight.
PLAIN = 300.0
SAVE_EVERY = 60.0


class LatentBank:
    """Clips of one shape with the latents that the VAE gave them before training went on."""

    def __init__(
        self,
        first: Any,
        scenes: torch.Tensor,
        shape: Shape,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        height, width, frames = shape
        self.batch = batch
        self._first, self._scenes, self._shape = first, scenes, shape
        self._generator = generator
        chunks = max(2, min(KEPT, KEPT_BYTES // (batch * 6 * height * width * frames)))
        made = [self._make() for _ in range(chunks)]
        self._clips = torch.cat([clips for clips, _ in made])
        self._latents = torch.cat([latents for _, latents in made])
        self._next, self._deferred = 0, 0.0

    @torch.no_grad()
    def _make(self) -> tuple[torch.Tensor, torch.Tensor]:
        height, width, frames = self._shape
        device = self._scenes.device
        rows = torch.randint(
            len(self._scenes), (self.batch,), generator=self._generator, device=device
        )
        jitter = draw_jitter(self.batch, self._generator)
        clips = render(self._scenes[rows], jitter, frames, height, width)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            mean, _ = encode_moments(self._first, clips)
        return clips.half(), mean.float()

    def take(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch: clips [B, 3, F, H, W] in float16, raw latents [B, 16, f, h, w] in float32."""
        self._deferred += FRESH
        if self._deferred >= 1.0:
            self._deferred -= 1.0
            place = slice(self._next, self._next + self.batch)
            self._clips[place], self._latents[place] = self._make()
            self._next = (self._next + self.batch) % len(self._clips)
        picked = torch.randint(
            len(self._clips), (self.batch,), generator=self._generator, device=self._clips.device
        )
        return self._clips[picked], self._latents[picked]


def polish_loss(
    vae: Any,
    clips: torch.Tensor,
    before: torch.Tensor,
    std: torch.Tensor,
    anchor: float,
) -> torch.Tensor:
    """[3]: what is minimised, the mean of log(squared error), and the latents' squared drift.

    before: the latents that these clips had. std: each latent channel's deviation, by which drift
    is measured.
    """
    clips = clips.float()
    mean = encode_moments(vae, clips)[0].float()
    drift = (((mean - before) / std) ** 2).mean()
    recon = decode_all(vae, mean + NOISE * std * torch.randn_like(mean)).float()
    error = ((recon - clips) ** 2).flatten(1).mean(1)
    size = error.log().mean()
    return torch.stack([size + PLAIN * error.mean() + anchor * drift, size, drift])


def inner_convolution(name: str, weight: nn.Parameter) -> bool:
    """Weights that Muon takes: not norms (one number a channel), not the first and last layers."""
    ends = ("conv_in", "conv_out", "quant_conv")
    return weight.ndim >= 4 and weight[0].numel() > 1 and not any(end in name for end in ends)


class Steps:
    """A training step for each clip shape, and the update after it."""

    def __init__(self, vae: Any, options: argparse.Namespace) -> None:
        self._vae, self._learning = vae, list(vae.parameters())
        self._anchor = options.anchor
        self._device = self._learning[0].device
        self._std = torch.tensor(vae.config.latents_std, device=self._device).view(1, -1, 1, 1, 1)
        self._works: dict[Shape, Replayed] = {}
        for weight in self._learning:
            weight.grad = torch.zeros_like(weight)
        self.rate = torch.zeros((), device=self._device)
        self._optimizer = MuonAdam(
            vae,
            pick=inner_convolution,
            matrix_rate=options.rate,
            other_rate=options.rate / 2,
            recorded=True,
        )
        self.average = Average(vae, options.average)
        self._update = Replayed(self._move, self.rate)

    def record(self, shape: Shape, clips: torch.Tensor, before: torch.Tensor) -> None:
        """Get ready for clips of this shape."""
        self._works[shape] = Replayed(self._learn, clips, before)

    def __call__(self, shape: Shape, clips: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """One step at self.rate; returns what polish_loss does."""
        values = self._works[shape](clips, before)
        self._update(self.rate)
        return values

    def _learn(self, clips: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        torch._foreach_zero_([weight.grad for weight in self._learning])
        device = self._device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            values = polish_loss(self._vae, clips, before, self._std, self._anchor)
        values[0].backward()
        return values.detach()

    def _move(self, rate: torch.Tensor) -> torch.Tensor:
        nn.utils.clip_grad_norm_(self._learning, 1.0)
        self._optimizer.step(rate)
        self.average.follow()
        return rate


def polish(parts: Parts, options: argparse.Namespace, device: torch.device) -> None:
    """Train parts.vae in place; its averaged weights are kept in OUT/vae.pt."""
    torch.manual_seed(options.seed)
    parts.to(device)
    first = quicken(copy.deepcopy(parts.vae), compiled=device.type == "cuda").requires_grad_(False)
    vae = quicken(copy.deepcopy(parts.vae), compiled=False).train()
    steps = Steps(vae, options)
    scenes = training_scenes(options.seed, 20_000).to(device)
    generator = torch.Generator(device).manual_seed(options.seed)
    shapes, banks = SHAPES[: options.shapes], {}
    for shape, batch, _ in shapes:
        batch = max(1, int(batch * options.scale))
        banks[shape] = LatentBank(first, scenes, shape, batch, generator)
        steps.record(shape, *banks[shape].take())
        log.info("ready for %s", named(shape))
    clock, reports = Clock(options.minutes), Reports(parts.vae, vae, steps.average, options)
    rng = random.Random(options.seed)
    often = [weight for _, _, weight in shapes]
    for step in clock.steps():
        shape = rng.choices(shapes, often)[0][0]
        steps.rate.fill_(clock.rate(1.0, step))
        reports.add(steps(shape, *banks[shape].take()))
        if step % 200 == 0 or clock.progress >= 1.0:
            reports.write(step, clock)
    parts.vae.eval()


class Reports:
    """The curve, and now and then the averaged weights in OUT and in the VAE that is kept."""

    def __init__(
        self, kept: Any, trained: Any, average: Average, options: argparse.Namespace
    ) -> None:
        self._kept, self._trained, self._average = kept, trained, average
        self._out, self._scale = options.out, options.scale
        self._curve, self._saved = Log(options.out / "polish.csv"), 0.0
        self._device = next(iter(trained.parameters())).device
        self._sums, self._count = torch.zeros(3, device=self._device), 0

    def add(self, values: torch.Tensor) -> None:
        """Take in what one step of polish_loss said."""
        self._sums += values
        self._count += 1

    def write(self, step: int, clock: Clock) -> None:
        """One row of the curve over the steps since the last one."""
        loss, size, drift = (self._sums / self._count).tolist()
        self._sums.zero_()
        self._count = 0
        decibel = 10 * (math.log10(4.0) - size / math.log(10.0))
        values = {"loss": loss, "psnr": decibel, "drift": max(0.0, drift) ** 0.5}
        log.info("polish step %d %.0f s %s", step, clock.seconds, values)
        self._curve.row(step=step, seconds=clock.seconds, **values)
        if clock.seconds - self._saved > SAVE_EVERY or clock.progress >= 1.0:
            self._saved = clock.seconds
            self._average.swap()
            state = self._trained.state_dict()
            save_state(self._out / "vae.pt", weights=state, step=step + 1)
            self._kept.load_state_dict(state)
            self._average.swap()
            log.info("averaged: %s", fidelity(self._kept, self._device, self._scale))


@torch.no_grad()
def fidelity(vae: Any, device: torch.device, scale: float = 1.0) -> dict[str, float]:
    """evaluate.vae_psnr on any device: dB at the two usual sizes."""
    figures = {}
    for (height, width, frames), count in (((64, 64, 17), 48), ((128, 128, 17), 16)):
        count = max(2, int(count * min(1.0, scale)))
        slots = torch.tensor([slots_of(scene) for _, scene in held_out_prompts(count, 7)])
        jitter = draw_jitter(count, torch.Generator().manual_seed(7))
        clips = render(slots.to(device), jitter.to(device), frames, height, width)
        chunks = [
            decode_all(vae, encode_moments(vae, part)[0]).clamp(-1, 1) for part in clips.split(16)
        ]
        figures[named((height, width, frames))] = round(psnr(clips, torch.cat(chunks)), 3)
    return figures


def look(parts: Parts, device: torch.device, count: int = 256) -> None:
    """Log what the whole pipeline gives with these parts, on the prompts used while training."""
    log.info("vae: %s", fidelity(parts.vae, device))
    checker = Checker(parts, count, device)
    for shape in ((64, 64, 17), (128, 128, 17)):
        checker.check(shape)


def main(argv: list[str] | None = None) -> int:
    """The command line; writes OUT/wan-tiny, OUT/vae.pt and OUT/polish.csv."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    device = pick_device()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    parts = load(options.folder)
    if options.look:
        look(parts.to(device), device)
    polish(parts, options, device)
    if options.look:
        look(parts, device)
    save(parts.to("cpu"), options.out / "wan-tiny")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0, help="wall time for the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="batch sizes, 1 = an 80 GB GPU")
    parser.add_argument("--anchor", type=float, default=8.0, help="cost of the latents' drift")
    parser.add_argument("--rate", type=float, default=1.2e-3, help="peak learning rate")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the shapes")
    parser.add_argument("--average", type=float, default=0.999, help="of the weights that are kept")
    parser.add_argument("--look", action="store_true", help="judge clips before and after")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
