"""Stage "text": teaches the text encoder to write the scene it read into its slot tokens.

Trained first and then frozen: learned together with the pictures it swaps subject and background.
"""

import logging
import random
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from engine.pipelines.wan_tiny.training.model import MAX_SEQUENCE_LENGTH, TEXT_DIM, Parts
from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.training.run import Clock, Log, load_state, save_state
from engine.pipelines.wan_tiny.training.slots import SLOTS, slots_of

log = logging.getLogger(__name__)
BATCH = 256


class SlotReader(nn.Module):
    """One linear classifier per slot token; used in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(TEXT_DIM, len(values)) for values in SLOTS.values())

    def forward(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        """[B, L, TEXT_DIM] -> logits [B, values] of each slot."""
        return [head(hidden[:, i]) for i, head in enumerate(self.heads)]


def corpus(parts: Parts, seed: int, count: int, *, held: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """count composed prompts -> token ids [N, L] (0 is padding) and slot classes [N, slots]."""
    rng = random.Random(seed)
    pairs = [compose(rng, held=held) for _ in range(count)]
    tokens = parts.tokenizer(
        [prompt for prompt, _ in pairs],
        padding="max_length",
        max_length=MAX_SEQUENCE_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    return tokens.input_ids, torch.tensor([slots_of(scene) for _, scene in pairs])


def fit_text(
    parts: Parts,
    folder: Path,
    *,
    minutes: float,
    seed: int,
    device: torch.device,
    resume: bool = False,
    examples: int = 120_000,
) -> float:
    """Train parts.text_encoder in place; returns the share of held-out prompts read whole."""
    torch.manual_seed(seed)
    encoder = parts.text_encoder.to(device).train()
    reader = SlotReader().to(device)
    state = load_state(folder / "text.pt", device) if resume else {}
    if state:
        encoder.load_state_dict(state["encoder"])
        reader.load_state_dict(state["reader"])
    ids, slots = (
        t.to(device) for t in corpus(parts, seed + state.get("step", 0), examples, held=False)
    )
    weights = [*encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=0.01)
    clock, curve = Clock(minutes), Log(folder / "text.csv")
    for step in clock.steps(state.get("step", 0)):
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(2e-3, step)
        rows = torch.randint(len(ids), (BATCH,), device=device)
        loss = _loss(encoder, reader, ids[rows], slots[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 200 == 0:
            log.info("text step %d loss %.4f", step, loss.item())
            curve.row(step=step, seconds=clock.seconds, loss=loss.item())
    encoder.eval()
    held_ids, held_slots = corpus(parts, seed + 10_007, 2000, held=True)
    right = accuracy(encoder, reader, held_ids.to(device), held_slots.to(device))
    curve.row(step=step, seconds=clock.seconds, loss=1.0 - right)
    log.info("text: %.2f %% of held-out prompts read whole", 100 * right)
    save_state(
        folder / "text.pt", encoder=encoder.state_dict(), reader=reader.state_dict(), step=step + 1
    )
    return right


def _loss(
    encoder: nn.Module, reader: SlotReader, ids: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    ids = ids[:, : int((ids > 0).sum(1).max())]
    hidden = encoder(ids, (ids > 0).long()).last_hidden_state
    losses = [functional.cross_entropy(x, slots[:, i]) for i, x in enumerate(reader(hidden))]
    return torch.stack(losses).sum()


@torch.no_grad()
def accuracy(
    encoder: nn.Module, reader: SlotReader, ids: torch.Tensor, slots: torch.Tensor
) -> float:
    """The share of prompts for which every slot is right."""
    hidden = encoder(ids, (ids > 0).long()).last_hidden_state
    guesses = torch.stack([logits.argmax(-1) for logits in reader(hidden)], dim=1)
    return float((guesses == slots).all(1).float().mean())
