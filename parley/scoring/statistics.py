"""How sure a mean is: intervals by resampling whole conversations, paired differences, and their p values.

Cases of one conversation resemble one another, so conversation groups are drawn, with replacement,
never single cases (Field and Welsh, Bootstrapping clustered data, 2007,
https://doi.org/10.1111/j.1467-9868.2007.00593.x). Tuned, base and their difference come from the same
draws: what makes a case hard for both models cancels in the difference.

Intervals are expanded percentile intervals (Hesterberg, What teachers should know about the bootstrap,
2015, https://doi.org/10.1080/00031305.2015.1089789): plain percentiles of few groups are too narrow, so
the percentiles move outward as Student's t does. In trials a 95 % interval of 5 groups then held the
truth 94 times in 100 (plain percentiles: 85), of 10 groups 95 times (plain: 90).

A p value is that of a permutation test: if the two models were the same, their scores on a group could be
swapped. `adjusted` corrects the p values of several metrics for one another.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.special import nctdtrinc, ndtr, ndtri, stdtrit

from parley.evaluation import Score, Unscored

Estimate: TypeAlias = dict[str, Any]  # value, low, high: a mean and its 95 % interval (both None when there is none)

LEVEL = 0.95
POWER = 0.8  # chance with which a difference of the size `detectable` is found


@dataclass(frozen=True, slots=True)
class Pair:
    """One case as one metric saw it."""

    group: str  # conversation group: what is resampled
    tuned: Score | Unscored
    base: Score | Unscored


def compare(
    pairs: Sequence[Pair],
    *,
    unit: str,
    higher_is_better: bool | None,
    resamples: int,
    seed: int,
    shown: Callable[[float], float] | None = None,
    shown_unit: str = "",
) -> dict[str, Any]:
    """One metric's entry in metrics/scores.json or judge.json.

    Only cases that both models have a score for are compared; the rest are counted by reason in
    `unscored`, and n + unscored = all cases. Without any: {"value": None, "not_scored": why}. With
    fewer than two groups the means stand without an interval, and `no_interval` says why.
    `shown` turns a mean into a more familiar unit (nats/token -> perplexity); it is monotone, so an
    interval's ends go through it too.
    `p` is the permutation test's, `detectable` the smallest true difference that a test at 5 % would find 4 times in
    5 with these groups; both None with fewer than two groups.
    """
    unscored = Counter(reason for pair in pairs if (reason := _unscored(pair)))
    scored = [(p.group, p.tuned, p.base) for p in pairs if isinstance(p.tuned, Score) and isinstance(p.base, Score)]
    groups = [group for group, _, _ in scored]
    entry: dict[str, Any] = {
        "unit": unit,
        "higher_is_better": higher_is_better,
        "n": len(scored),
        "groups": len(set(groups)),
        "unscored": dict(sorted(unscored.items())),
    }
    if not scored:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in sorted(unscored.items()))
        return entry | {"value": None, "not_scored": reasons or "no case in this split"}
    values = np.array([(tuned.value, base.value) for _, tuned, base in scored])
    weights = np.array([(tuned.weight, base.weight) for _, tuned, base in scored])
    if not weights.sum(axis=0).all():  # a rate of one model has nothing to count, such as calls that were never made
        empty = [model for model, total in zip(("tuned", "base"), weights.sum(axis=0), strict=True) if not total]
        return entry | {"value": None, "not_scored": f"nothing to count for {' and '.join(empty)}"}
    means = (values * weights).sum(axis=0) / weights.sum(axis=0)
    drawn = None
    if entry["groups"] > 1:
        drawn = resampled_means(values, weights, groups, resamples=resamples, seed=seed)
    else:
        entry["no_interval"] = "all cases come from one conversation group; an interval needs two"
    entry["tuned"], entry["base"] = (
        estimate(means[column], None if drawn is None else drawn[:, column], entry["groups"]) for column in (0, 1)
    )
    difference = None if drawn is None else drawn[:, 0] - drawn[:, 1]
    entry["difference"] = estimate(means[0] - means[1], difference, entry["groups"])
    entry["p"] = permutation(values, weights, groups, resamples=resamples, seed=seed)
    entry["detectable"] = detectable(values, weights, groups)
    if unit == "rate" and drawn is not None:
        _widen_rates(entry, [len(set(values[weights[:, column] > 0, column])) == 1 for column in (0, 1)])
    if shown:
        entry["shown"] = {"unit": shown_unit}
        for model in ("tuned", "base"):
            ends = entry[model].items()
            entry["shown"][model] = {key: None if end is None else _rounded(shown(end)) for key, end in ends}
    return entry


def permutation(
    values: np.ndarray, weights: np.ndarray, groups: Sequence[str], *, resamples: int, seed: int
) -> float | None:
    """Two-sided p value of the difference of the two columns' weighted means; None with fewer than two groups.

    How often swapping the models in some of the groups makes the difference as large: all ways of swapping where
    there are at most `resamples`, else so many random ones, the observed one counted
    (https://doi.org/10.2202/1544-6115.1585).
    """
    sums, totals = _by_group(values, weights, groups)
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
    return _rounded(as_large / len(found))


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
    sums, totals = _by_group(values, weights, groups)
    count = len(sums)
    if count < 2:
        return None
    means = sums.sum(axis=0) / totals.sum(axis=0)
    apart = ((sums - means * totals) / totals.sum(axis=0)) @ np.array([1.0, -1.0])
    error = math.sqrt(count / (count - 1) * float(apart @ apart))
    distance = float(nctdtrinc(count - 1, 1 - POWER, stdtrit(count - 1, (1 + LEVEL) / 2)))
    return _rounded(distance * error) if error and math.isfinite(distance) else None


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Each p value adjusted for the others: at 5 % one test in 20 such sets finds a difference where none is.

    https://www.jstor.org/stable/4615733 (Holm, 1979)
    """
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, p_values[name] * (len(p_values) - place)))
        adjusted[name] = _rounded(least)
    return adjusted


def adjusted(entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics' entries with `p_holm`, and in `tests` the number of metrics it is adjusted for."""
    found = holm({name: entry["p"] for name, entry in entries.items() if entry.get("p") is not None})
    return {
        name: entry | ({"p_holm": found[name], "tests": len(found)} if name in found else {})
        for name, entry in entries.items()
    }


def mean(values: Sequence[float], groups: Sequence[str], *, resamples: int, seed: int) -> Estimate:
    """The mean of rates or shares with its interval and n; no interval with fewer than two groups."""
    n = len(values)
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    value, count = sum(values) / n, len(set(groups))
    if count < 2:
        return {**estimate(value, None, count), "n": n}
    if len(set(values)) == 1:
        low, high = wilson(value, count)
        return {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high), "n": n}
    column = np.array(values, float)[:, None]
    drawn = resampled_means(column, np.ones_like(column), groups, resamples=resamples, seed=seed)
    return {**estimate(value, drawn[:, 0], count), "n": n}


def weighted_kappa(
    ours: Sequence[int], theirs: Sequence[int], groups: Sequence[str], *, resamples: int, seed: int
) -> Estimate:
    """Cohen's kappa with quadratic weights of two raters' whole-number scores, with its interval and n.

    1 - observed / expected squared difference (Cohen, 1968, https://doi.org/10.1037/h0026256). No value where both
    raters gave one and the same score to everything.
    """
    a, b = np.array(ours, float), np.array(theirs, float)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    # Sums over each group: of 1, a, b, a², b², ab; kappa follows from their totals.
    sums = np.zeros((len(names), 6))
    np.add.at(sums, index, np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b]))
    value = _kappa(sums.sum(axis=0))
    drawn = None
    if len(names) > 1:
        drawn = _kappa(np.einsum("rg,gc->rc", draws(len(names), resamples, seed), sums))
        drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": len(a)}
    return {**estimate(float(value), drawn, len(names)), "n": len(a)}


def _kappa(sums: np.ndarray) -> np.ndarray:
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - n * (aa + bb - 2 * ab) / (n * (aa + bb) - 2 * a * b)


def wilson(rate: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate seen in n draws. https://doi.org/10.1080/01621459.1927.10502953"""
    z = ndtri((1 + LEVEL) / 2)
    middle, scale = rate + z * z / (2 * n), 1 + z * z / n
    reach = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At 0 and 1 one end is exactly that, which the subtraction misses by a rounding.
    low, high = (middle - reach) / scale, (middle + reach) / scale
    return 0.0 if rate == 0 else max(0.0, low), 1.0 if rate == 1 else min(1.0, high)


def resampled_means(
    values: np.ndarray, weights: np.ndarray, groups: Sequence[str], *, resamples: int, seed: int
) -> np.ndarray:
    """Weighted means of bootstrap samples of groups: (resamples, columns) for values (cases, columns).

    A mean is sum(value * weight) / sum(weight) over the drawn cases, NaN where they weigh nothing. The same seed and
    groups give the same draws, whatever the metric.
    """
    sums, totals = _by_group(values, weights, groups)
    times = draws(len(sums), resamples, seed)
    # einsum, not @: BLAS sums in an order that depends on its threads.
    drawn, counted = np.einsum("rg,gc->rc", times, sums), np.einsum("rg,gc->rc", times, totals)
    return np.divide(drawn, counted, out=np.full_like(drawn, np.nan), where=counted > 0)


def _by_group(values: np.ndarray, weights: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of value * weight and of weights: (groups, columns) each, for values (cases, columns)."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    totals = np.zeros_like(sums)
    np.add.at(sums, index, values * weights)
    np.add.at(totals, index, weights)
    return sums, totals


@functools.lru_cache(maxsize=2)
def draws(groups: int, resamples: int, seed: int) -> np.ndarray:
    """How often each group is in each bootstrap sample: (resamples, groups). Kept for the next metric."""
    draw = np.random.default_rng(seed)
    times: np.ndarray = np.empty((resamples, groups), np.uint16)
    for sample in times:
        sample[:] = np.bincount(draw.integers(groups, size=groups), minlength=groups)
    return times


def _unscored(pair: Pair) -> str:
    """Why a pair can't be compared; "" when it can."""
    tuned = pair.tuned.reason if isinstance(pair.tuned, Unscored) else ""
    base = pair.base.reason if isinstance(pair.base, Unscored) else ""
    if tuned and base:
        return tuned if tuned == base else f"tuned: {tuned}; base: {base}"
    return f"tuned: {tuned}" if tuned else f"base: {base}" if base else ""


def estimate(mean: float, drawn: np.ndarray | None, groups: int) -> Estimate:
    """A mean with the expanded percentile interval of its resamples."""
    if drawn is None:
        return {"value": _rounded(mean), "low": None, "high": None}
    tail = 100 * ndtr(math.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, (1 - LEVEL) / 2))
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return {"value": _rounded(mean), "low": _rounded(low), "high": _rounded(high)}


def _widen_rates(entry: dict[str, Any], constant: Sequence[bool]) -> None:
    """Gives a rate that is the same in every case Wilson's interval: "none of 20" is no proof of never.

    Two such rates give Newcombe's interval of their difference. n counts groups, which is careful: cases
    of one group may all be alike.
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I (Newcombe, method 10)
    """
    for model, is_constant in zip(("tuned", "base"), constant, strict=True):
        if is_constant:
            low, high = wilson(entry[model]["value"], entry["groups"])
            entry[model] |= {"low": _rounded(low), "high": _rounded(high)}
    if all(constant):
        tuned, base, gap = entry["tuned"], entry["base"], entry["difference"]
        below = math.hypot(tuned["value"] - tuned["low"], base["high"] - base["value"])
        above = math.hypot(tuned["high"] - tuned["value"], base["value"] - base["low"])
        gap |= {"low": _rounded(gap["value"] - below), "high": _rounded(gap["value"] + above)}


def _rounded(value: float) -> float:
    """Ten significant digits: the last bits of a sum differ between processors."""
    return float(f"{value:.10g}")
