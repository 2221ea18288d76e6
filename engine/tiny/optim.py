"""Muon for the transformer's matrices: it learns this world in fewer steps than AdamW alone.

After Keller Jordan's Muon, with matrices of one shape updated together: a tiny model's single
updates are bound by launches. Everything that isn't a matrix goes to AdamW.
"""

from typing import Any

import torch
from torch import nn

_A, _B, _C = 3.4445, -4.7750, 2.0315


class MuonAdam:
    """Two optimisers as one, over a network and, by AdamW, over an extra head.

    matrix_rate, other_rate: their peak learning rates.
    """

    def __init__(
        self,
        network: nn.Module,
        extra: nn.Module | None = None,
        *,
        matrix_rate: float = 2e-3,
        other_rate: float = 1e-3,
    ) -> None:
        matrices: dict[tuple[int, ...], list[nn.Parameter]] = {}
        others = []
        for name, weight in network.named_parameters():
            if weight.ndim == 2 and name.startswith("blocks."):
                matrices.setdefault(tuple(weight.shape), []).append(weight)
            elif weight.requires_grad:
                others.append(weight)
        others += list(extra.parameters()) if extra is not None else []
        self.weights = [w for group in matrices.values() for w in group] + others
        self._groups = list(matrices.values())
        self._momenta = [torch.zeros_like(torch.stack(list(g))) for g in self._groups]
        self._matrix_rate, self._other_rate = matrix_rate, other_rate
        fused = others[0].is_cuda
        self._adam = torch.optim.AdamW(
            others, lr=other_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=fused
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update; rate in [0, 1] is the schedule's share of the peak learning rates."""
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            grad = torch.stack([_grad(w) for w in group])
            momentum.lerp_(grad, 0.05)
            update = orthogonalise(grad.lerp(momentum, 0.95))
            rows, columns = update.shape[-2:]
            # As large as AdamW's usual update, so that both take similar learning rates.
            size = self._matrix_rate * rate * 0.2 * max(rows, columns) ** 0.5
            torch._foreach_mul_(list(group), 1 - 0.01 * self._matrix_rate * rate)
            torch._foreach_add_(list(group), list(update.unbind(0)), alpha=-size)
        for part in self._adam.param_groups:
            part["lr"] = self._other_rate * rate
        self._adam.step()


def _grad(weight: nn.Parameter) -> Any:
    return weight.grad if weight.grad is not None else torch.zeros_like(weight)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """[K, R, C] -> matrices with the same row and column spaces and singular values near 1."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = _A * x + (_B * a + _C * a @ a) @ x
    return torch.as_tensor(x.mT if tall else x, dtype=matrices.dtype)
