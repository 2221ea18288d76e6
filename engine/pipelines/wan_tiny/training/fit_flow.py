"""Stage "flow": trains the transformer to turn noise into the latents of what the prompt says."""

import logging
import random
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import torch.fx.experimental._config
from torch import nn

from engine.pipelines.wan_tiny.training.bank import Bank, Prompts, Shape, tokens_of
from engine.pipelines.wan_tiny.training.checker import Checker
from engine.pipelines.wan_tiny.training.fast import quicken
from engine.pipelines.wan_tiny.training.model import LATENT_CHANNELS, Parts, embed
from engine.pipelines.wan_tiny.training.optim import MuonAdam
from engine.pipelines.wan_tiny.training.run import Average, Clock, Log, load_state, save_state
from engine.pipelines.wan_tiny.training.sample import velocity

log = logging.getLogger(__name__)
# Clip shapes, and how often each is drawn early and late: small clips teach most of it quickly.
SHAPES: tuple[tuple[Shape, float, float], ...] = (
    ((64, 64, 17), 6.0, 2.0),
    ((64, 64, 9), 1.0, 1.0),
    ((64, 64, 33), 0.5, 1.0),
    ((64, 112, 17), 0.7, 1.0),
    ((112, 64, 17), 0.7, 1.0),
    ((96, 96, 17), 0.7, 1.0),
    ((128, 128, 17), 0.5, 3.0),
    ((128, 128, 33), 0.0, 1.0),
    ((128, 224, 17), 0.0, 1.0),
    ((224, 128, 17), 0.0, 1.0),
    ((256, 256, 9), 0.0, 0.7),
    ((256, 256, 17), 0.0, 0.7),
)
TOKENS = 28_800  # in one training step
SHIFT = 5.0
PUSH = 0.4  # guidance that is trained in: as sampling with guidance 1 / (1 - PUSH)
DROPPED = 0.1  # share of prompts that are left out, for guidance
CHECK_EVERY = 60.0


@dataclass(frozen=True)
class Plan:
    """How much of everything a run uses; scale shrinks it for a small machine."""

    tokens: int = TOKENS
    prompts: int = 120_000
    bank_bytes: int = 1_500_000_000
    checked: int = 128
    fresh: float = 0.12  # new clips per clip trained on

    @classmethod
    def scaled(cls, scale: float) -> "Plan":
        """The plan for a machine `scale` times as large as the one it was made for."""
        return cls(
            tokens=max(160, int(TOKENS * scale)),
            prompts=max(200, int(120_000 * scale)),
            bank_bytes=max(2_000_000, int(1_500_000_000 * scale)),
            checked=max(4, int(128 * scale)),
        )


class Banks:
    """One bank per clip shape, filled when first drawn."""

    def __init__(
        self, parts: Parts, prompts: Prompts, generator: torch.Generator, plan: Plan
    ) -> None:
        self._args = (parts, prompts, generator)
        self._plan = plan
        self._banks: dict[Shape, Bank] = {}
        self._deferred: dict[Shape, float] = {}

    def take(self, shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
        """One training batch of this shape: latents and embeddings."""
        parts, prompts, generator = self._args
        batch = max(1, self._plan.tokens // tokens_of(shape))
        if shape not in self._banks:
            size = max(batch, min(65_536, self._plan.bank_bytes // (tokens_of(shape) * 128)))
            self._banks[shape] = Bank(parts, prompts, shape, size, generator)
            self._banks[shape].add(min(size, 4 * batch))
            self._deferred[shape] = 0.0
        bank = self._banks[shape]
        self._deferred[shape] += batch * self._plan.fresh
        if self._deferred[shape] >= batch:
            bank.add(batch)
            self._deferred[shape] -= batch
        return bank.take(batch)


def draw_shape(rng: random.Random, progress: float) -> Shape:
    """Which clip shape to train on next; larger ones come in as progress goes from 0.3 to 0.7."""
    late = min(1.0, max(0.0, (progress - 0.3) / 0.4))
    weights = [early + (end - early) * late for _, early, end in SHAPES]
    return rng.choices([shape for shape, _, _ in SHAPES], weights)[0]


def compile_blocks(transformer: Any, device: torch.device) -> None:
    """Compile the blocks on a GPU: alone, a tiny model's elementwise sums fill half of its time."""
    if device.type != "cuda":
        return
    torch._dynamo.config.cache_size_limit = 64
    torch.fx.experimental._config.use_duck_shape = False
    # One compiled function for all blocks; the method and not the module, so that hooks stay out.
    kind = type(transformer.blocks[0])
    forward = torch.compile(kind.forward, dynamic=True)
    for block in transformer.blocks:
        block.forward = types.MethodType(forward, block)


class Whereabouts(nn.Module):
    """An auxiliary loss: after three blocks each token must say where in the clip it is.

    Rotary attention sees distances only, and at the first step there is nothing but noise to see:
    where the frame ends has to be worked out from whose neighbours are missing. Asked for it
    directly, the model finds out soon; without, directions stay at chance for long.
    """

    def __init__(self, transformer: Any, after: int = 2, weight: float = 0.1) -> None:
        super().__init__()
        width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
        self.head = nn.Linear(width, 3)
        self.weight = weight
        self._seen: torch.Tensor | None = None
        transformer.blocks[after].register_forward_hook(self._keep)

    def _keep(self, _block: Any, _inputs: Any, output: torch.Tensor) -> None:
        self._seen = output if torch.is_grad_enabled() else None

    def loss(self, latents: torch.Tensor) -> torch.Tensor:
        """For the latents [B, channels, f, h, w] that the transformer has just seen."""
        _, _, frames, height, width = latents.shape
        axes = [
            (torch.arange(n, device=latents.device) + 0.5) / n * 2 - 1
            for n in (frames, height // 2, width // 2)
        ]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)
        seen = self._seen
        if seen is None:
            raise RuntimeError("the transformer has not run yet")
        return torch.mean((self.head(seen.float()) - places) ** 2) * self.weight


def fit_flow(
    parts: Parts,
    folder: Path,
    *,
    minutes: float,
    seed: int,
    device: torch.device,
    resume: bool = False,
    scale: float = 1.0,
    begun: float | None = None,
) -> None:
    """Train parts.transformer in place; its averaged weights are kept in folder/flow.pt.

    begun: where in the plan (which shapes, how much guidance) this run begins; by default at 0, or
    at 0.5 when it goes on from a checkpoint.
    """
    torch.manual_seed(seed)
    plan = Plan.scaled(scale) if scale != 1.0 else Plan()
    transformer = parts.transformer.to(device).train()
    where = Whereabouts(transformer).to(device)
    quicken(parts.vae.to(device).eval(), compiled=device.type == "cuda")
    state = load_state(folder / "flow.pt", device) if resume else {}
    if state:
        transformer.load_state_dict(state["weights"])
    first = state.get("step", 0)
    begun = (0.5 if first else 0.0) if begun is None else begun
    generator = torch.Generator(device).manual_seed(seed + first)
    banks = Banks(parts, Prompts.draw(parts, seed + first, plan.prompts, device), generator, plan)
    checker = Checker(parts, plan.checked, device)
    empty = embed(parts, [""], device)
    compile_blocks(transformer, device)
    optimizer, average = MuonAdam(transformer, where), Average(transformer, 0.9995)
    clock, curve = Clock(minutes), Log(folder / "flow.csv")
    rng, checked, clips, total = random.Random(seed + first), 0.0, 0, 0.0
    for step in clock.steps(first):
        late = begun + (1 - begun) * clock.progress
        latents, embeddings = banks.take(draw_shape(rng, late))
        push = PUSH * min(1.0, max(0.0, (late - 0.6) / 0.2))
        if push > 0:
            loss = guided_loss(transformer, latents, embeddings, empty, generator, push)
        else:
            loss = flow_loss(transformer, latents, embeddings, empty, generator)
        placing = where.loss(latents)
        optimizer.zero_grad()
        (loss + placing).backward()
        nn.utils.clip_grad_norm_(optimizer.weights, 1.0)
        optimizer.step(clock.rate(1.0, step - first, warmup=300))
        average.update()
        clips += len(latents)
        if step % 50 == 0:
            total, place = loss.item(), placing.item()
            log.info(
                "flow step %d %.0f s %d clips loss %.4f place %.4f",
                *(step, clock.seconds, clips, total, place),
            )
        if clock.seconds - checked > CHECK_EVERY or clock.progress >= 1.0:
            checked = clock.seconds
            average.swap()
            save_state(folder / "flow.pt", weights=transformer.state_dict(), step=step + 1)
            curve.row(step=step, seconds=checked, clips=clips, loss=total, **checker.check())
            average.swap()
    average.swap()
    transformer.eval()


def flow_loss(
    transformer: Any,
    latents: torch.Tensor,
    embeddings: torch.Tensor,
    empty: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity, with some prompts left out."""
    mixed, sigma, goal = _mix(latents, generator)
    dropped = torch.rand(len(latents), generator=generator, device=latents.device) < DROPPED
    embeddings = torch.where(dropped[:, None, None], empty, embeddings)
    return ((velocity(transformer, mixed, sigma, embeddings) - goal) ** 2).mean()


def guided_loss(
    transformer: Any,
    latents: torch.Tensor,
    embeddings: torch.Tensor,
    empty: torch.Tensor,
    generator: torch.Generator,
    push: float,
) -> torch.Tensor:
    """As flow_loss, but the goal with a prompt lies further from the one without (Model Guidance).

    Where told = goal + push * (told - untold), told is what guidance 1 / (1 - push) would give:
    sampling then needs no second pass. Half of the batch is used, each clip with and without.
    """
    half = max(1, len(latents) // 2)
    latents, embeddings = latents[:half], embeddings[:half]
    mixed, sigma, goal = _mix(latents, generator)
    both = velocity(
        transformer,
        torch.cat([mixed, mixed]),
        torch.cat([sigma, sigma]),
        torch.cat([embeddings, empty.expand_as(embeddings)]),
    )
    told, untold = both.chunk(2)
    aim = goal + push * (told - untold).detach()
    return ((told - aim) ** 2).mean() + 0.2 * ((untold - goal) ** 2).mean()


def _mix(
    latents: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy latents, their noise levels [B] drawn as sampling meets them, and the velocity.

    What comes after a clip's own channels is its conditioning, which stays as it is.
    """
    latents, given = latents[:, :LATENT_CHANNELS], latents[:, LATENT_CHANNELS:]
    level = torch.rand(len(latents), generator=generator, device=latents.device)
    sigma = SHIFT * level / (1 + (SHIFT - 1) * level)
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    goal = noise - latents
    noisy = latents + goal * sigma[:, None, None, None, None]
    return torch.cat([noisy, given], dim=1), sigma, goal
