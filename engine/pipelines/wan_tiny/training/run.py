"""What every training stage shares: its clock, its log, its checkpoint and its averaged weights."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Clock:
    """A stage's time budget. Learning rates follow it, so a stage always ends annealed."""

    def __init__(self, minutes: float, spent: float = 0.0) -> None:
        self.budget = minutes * 60.0
        self._start = time.monotonic() - spent

    @property
    def seconds(self) -> float:
        """Seconds used so far, earlier runs of a resumed stage counted in."""
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """From 0 at the start to 1 at the end of the budget."""
        return min(1.0, self.seconds / self.budget) if self.budget > 0 else 1.0

    def rate(self, peak: float, step: int, warmup: int = 200) -> float:
        """Learning rate: linear warm-up in steps, flat, linear to zero over the last 60 %."""
        fade = min(1.0, (1.0 - self.progress) / 0.6)
        return peak * min(1.0, (step + 1) / warmup) * max(fade, 0.01)

    def steps(self, first: int = 0) -> Iterator[int]:
        """Step numbers until the time is over (at least one)."""
        step = first
        while step == first or self.progress < 1.0:
            yield step
            step += 1


class Log:
    """A CSV file beside the weights, one row per report; also kept for the model card."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def row(self, **values: Any) -> None:
        """Append one row; every row of one file has the same columns."""
        fresh = not self.path.exists()
        cells = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in values.items()}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(cells))
            if fresh:
                writer.writeheader()
            writer.writerow(cells)


class Average:
    """An exponential average of a network's weights: what is shipped instead of the last step."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self._live: list[torch.Tensor] = [p for p in network.parameters() if p.requires_grad]
        self.weights = [p.detach().clone() for p in self._live]
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move a step towards the live weights; quickly at first."""
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(self.weights, self._live, 1.0 - decay)

    @torch.no_grad()
    def follow(self) -> None:
        """As update(), at the full decay from the first: for a step recorded as a CUDA graph."""
        torch._foreach_lerp_(self.weights, self._live, 1.0 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights; call it again to change back."""
        for mine, live in zip(self.weights, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(mine)
            mine.copy_(kept)


def pick_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save_state(path: Path, **state: Any) -> None:
    """Write a checkpoint so that a kill in the middle leaves the earlier one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    torch.save(state, half)
    half.replace(path)


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; {} if there is none."""
    if not path.exists():
        return {}
    return dict(torch.load(path, map_location=device, weights_only=True))
