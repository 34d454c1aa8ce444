"""Muon (https://kellerjordan.github.io/posts/muon), as torch.optim.Muon has it, in numbers that the CPU is good at.

torch's own computes in bfloat16 on every machine. A CPU without instructions for it (no AVX512-BF16, no AMX) multiplies
matrices 22 times slower so than in float32. torch is imported with this module.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a quintic that brings all singular values near 1 within few iterations
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """For matrices only. precision: of the orthogonalisation; weights and momentum stay as they are."""

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], *, lr: float, weight_decay: float, precision: torch.dtype
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "precision": precision})

    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """One step along the orthogonalised momentum (Nesterov's)."""
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    self._move(weight, group)

    def _move(self, weight: torch.nn.Parameter, group: dict[str, Any]) -> None:
        state, (rows, columns) = self.state[weight], weight.shape
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
        update = orthogonal(weight.grad.lerp(state["momentum"], MOMENTUM), group["precision"])
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def orthogonal(matrix: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
    """The nearest matrix with singular values near 1, by Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.to(precision, copy=True)
    found = found.T if tall else found
    found.div_(found.norm().clamp(min=1e-7))
    for _ in range(ITERATIONS):
        gram = found @ found.T
        update = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.addmm(found, update, found, beta=a)
    return found.T if tall else found
