"""How well a probability tells two classes apart, in each of many samples of the same cases.

A statistic takes probabilities and classes, (cases,) each, and times (samples, cases), how often each case counts; it
gives (samples,).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Statistic: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def roc_auc(probability: np.ndarray, positive: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Probability that a positive stands above a negative, ties half; NaN for a sample of one class."""
    hits, misses = _sums_by_value(probability, positive, times)
    below = misses.cumsum(axis=1) - misses / 2
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (hits * below).sum(axis=1) / (hits.sum(axis=1) * misses.sum(axis=1))
    return found


def pr_auc(probability: np.ndarray, positive: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Average precision: the precision at each threshold, weighted by the recall that it adds."""
    hits, misses = (sums[:, ::-1] for sums in _sums_by_value(probability, positive, times))
    found, all_ = hits.cumsum(axis=1), (hits + misses).cumsum(axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.divide(found, all_, out=np.zeros_like(found), where=all_ > 0)
        area: np.ndarray = (hits * precision).sum(axis=1) / hits.sum(axis=1)
    return area


def calibration_error(probability: np.ndarray, positive: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Expected calibration error over ten bins of equal width. https://doi.org/10.1609/aaai.v29i1.9602"""
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [np.abs((times[:, bins == b] * (probability - positive)[bins == b]).sum(axis=1)) for b in range(10)]
    found: np.ndarray = np.sum(gaps, axis=0) / times.sum(axis=1)
    return found


def _sums_by_value(probability: np.ndarray, positive: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often positives and negatives of each value count: (samples, values), values ascending."""
    order = np.argsort(probability, kind="stable")
    starts = np.flatnonzero(np.diff(probability[order], prepend=-np.inf))
    ordered, kind = times[:, order], positive[order]
    return np.add.reduceat(ordered * kind, starts, axis=1), np.add.reduceat(ordered * ~kind, starts, axis=1)
