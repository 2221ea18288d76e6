"""Muon for the networks' matrices: they learn this world in fewer steps than with AdamW alone.

After Keller Jordan's Muon, with matrices of one shape updated together: a tiny model's single
updates are bound by launches. Everything that isn't a matrix goes to AdamW.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_A, _B, _C = 3.4445, -4.7750, 2.0315


def in_a_block(name: str, weight: nn.Parameter) -> bool:
    """The transformer's matrices."""
    return weight.ndim == 2 and name.startswith("blocks.")


class MuonAdam:
    """Two optimisers as one, over a network and, by AdamW, over an extra head.

    matrix_rate, other_rate: their peak learning rates. pick: which weights are matrices (those
    with more axes count as rows of their first). recorded: step() is recorded as a CUDA graph, so
    its rate is a tensor.
    """

    def __init__(
        self,
        network: nn.Module,
        extra: nn.Module | None = None,
        *,
        matrix_rate: float = 2e-3,
        other_rate: float = 1e-3,
        pick: Callable[[str, nn.Parameter], bool] = in_a_block,
        recorded: bool = False,
    ) -> None:
        matrices: dict[tuple[int, ...], list[nn.Parameter]] = {}
        others = []
        for name, weight in network.named_parameters():
            if not weight.requires_grad:
                continue
            if pick(name, weight):
                matrices.setdefault(tuple(weight.shape), []).append(weight)
            else:
                others.append(weight)
        others += list(extra.parameters()) if extra is not None else []
        self.weights = [w for group in matrices.values() for w in group] + others
        self._groups = list(matrices.values())
        self._momenta = [torch.zeros_like(_flat(g)) for g in self._groups]
        self._matrix_rate, self._other_rate = matrix_rate, other_rate
        fused = others[0].is_cuda
        rate = torch.tensor(other_rate, device=others[0].device) if recorded else other_rate
        self._adam = torch.optim.AdamW(
            others,
            lr=rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=fused,
            capturable=recorded and fused,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, rate: float | torch.Tensor) -> None:
        """One update; rate in [0, 1] is the schedule's share of the peak learning rates."""
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            grad = _flat([_grad(w) for w in group])
            momentum.lerp_(grad, 0.05)
            update = orthogonalise(grad.lerp(momentum, 0.95))
            rows, columns = update.shape[-2:]
            # As large as AdamW's usual update, so that both take similar learning rates.
            size = self._matrix_rate * rate * 0.2 * max(rows, columns) ** 0.5
            moves = [move.view_as(w) for move, w in zip(-size * update, group, strict=True)]
            kept: Any = 1 - 0.01 * self._matrix_rate * rate
            torch._foreach_mul_(list(group), kept)
            torch._foreach_add_(list(group), moves)
        for part in self._adam.param_groups:
            if isinstance(part["lr"], torch.Tensor):
                part["lr"].copy_(self._other_rate * torch.as_tensor(rate))
            else:
                part["lr"] = self._other_rate * rate
        self._adam.step()


def _flat(weights: Any) -> torch.Tensor:
    return torch.stack([w.flatten(1) for w in weights])


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
