"""The journal of a training run: each step, each epoch's evaluation, and which epoch is the best by them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Journal:
    """What training writes down; kept in each checkpoint, so that a resumed run's is complete."""

    steps: list[dict[str, Any]] = field(default_factory=list)  # step, loss, lr, grad_norm, tokens, trained_tokens
    evaluations: list[dict[str, Any]] = field(default_factory=list)  # epoch, step, loss, tokens, examples


@dataclass(frozen=True, slots=True)
class Epochs:
    """What becomes of an epoch's weights, and when the epochs end."""

    keep: bool  # every epoch's weights, not only the best one's
    best_by: str  # "last", "val_loss", or "separation" where `measure` gives it
    patience: int  # epochs without a better one, after which training ends; 0: all epochs
    measure: Callable[[Any], dict[str, Any]] | None = None  # further figures of a model, for the journal

    def best(self, rows: Sequence[Mapping[str, Any]], *, first: bool = False) -> int:
        """The epoch to publish, from 1: the last, or the best one, of equals the last, which has seen the most.

        By separation, epochs within two standard errors of the best are equals: a few answers decide nothing.
        rows: the evaluation after each epoch. first: of equals the first, from which on nothing was better.
        """
        if self.best_by == "last":
            return len(rows)
        if self.best_by == "separation":
            good, errors = [row["separation"] for row in rows], [row["separation_error"] for row in rows]
        else:
            good, errors = [-row["loss"] for row in rows], [0.0 for _ in rows]
        top = max(range(len(rows)), key=good.__getitem__)
        equals = [place + 1 for place, value in enumerate(good) if value >= good[top] - 2 * errors[top]]
        return equals[0] if first else equals[-1]
