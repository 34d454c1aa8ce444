"""Whether a difference is one: p values by permutation, adjusted for one another, and what could have been found.

If the two models were the same, their scores on a conversation group could be swapped.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import nctdtrinc, stdtrit

from parley.scoring.resampling import LEVEL, by_group, rounded

POWER = 0.8  # chance with which a difference of the size `detectable` is found


def permutation(
    values: np.ndarray, weights: np.ndarray, groups: Sequence[str], *, resamples: int, seed: int
) -> float | None:
    """Two-sided p value of the difference of the two columns' weighted means; None with fewer than two groups.

    How often swapping the models in some of the groups makes the difference as large: all ways of swapping where
    there are at most `resamples`, else so many random ones, the observed one counted
    (https://doi.org/10.2202/1544-6115.1585).
    """
    sums, totals = by_group(values, weights, groups)
    if len(sums) < 2:
        return None
    swapped = _swaps(len(sums), resamples, seed)

    def mean_of(column: int) -> np.ndarray:
        other = 1 - column
        moved, counted = (
            part[:, column].sum() + np.einsum("rg,g->r", swapped, part[:, other] - part[:, column])
            for part in (sums, totals)
        )
        return np.divide(moved, counted, out=np.full_like(moved, np.nan), where=counted > 0)

    found = np.abs(mean_of(0) - mean_of(1))
    found = found[np.isfinite(found)]
    observed = found[0]  # the first way is to swap none
    as_large = int((found >= observed - 1e-9 * max(1.0, observed)).sum())
    return rounded(as_large / len(found))


@functools.lru_cache(maxsize=2)
def _swaps(groups: int, resamples: int, seed: int) -> np.ndarray:
    """1 where a group's models are swapped: (ways, groups); the first way swaps none. Kept for the next metric."""
    if groups < 64 and 2**groups <= resamples:
        return (np.arange(2**groups)[:, None] >> np.arange(groups) & 1).astype(np.uint8)
    ways = np.random.default_rng(seed).integers(2, size=(resamples, groups), dtype=np.uint8)
    ways[0] = 0
    return ways


def detectable(values: np.ndarray, weights: np.ndarray, groups: Sequence[str]) -> float | None:
    """The smallest true difference that a two-sided test at 5 % finds with a chance of POWER; None where unknown.

    By the noncentral t distribution of a paired test on groups, with the standard error of the difference of two
    ratios by linearisation (Cochran, Sampling Techniques, 1977, chapter 6).
    """
    sums, totals = by_group(values, weights, groups)
    count = len(sums)
    if count < 2:
        return None
    means = sums.sum(axis=0) / totals.sum(axis=0)
    apart = ((sums - means * totals) / totals.sum(axis=0)) @ np.array([1.0, -1.0])
    error = math.sqrt(count / (count - 1) * float(apart @ apart))
    distance = float(nctdtrinc(count - 1, 1 - POWER, stdtrit(count - 1, (1 + LEVEL) / 2)))
    return rounded(distance * error) if error and math.isfinite(distance) else None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Each p value adjusted for the others: at 5 % one test in 20 such sets finds a difference where none is.

    https://www.jstor.org/stable/4615733 (Holm, 1979)
    """
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, p_values[name] * (len(p_values) - place)))
        adjusted[name] = rounded(least)
    return adjusted


def adjusted(entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics' entries with `p_holm`, and in `tests` the number of metrics it is adjusted for."""
    found = holm({name: entry["p"] for name, entry in entries.items() if entry.get("p") is not None})
    return {
        name: entry | ({"p_holm": found[name], "tests": len(found)} if name in found else {})
        for name, entry in entries.items()
    }
