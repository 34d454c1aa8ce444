"""How sure a mean is: two models on the same cases, their difference, and how sure that is.

Tuned, base and their difference come from the same draws of conversation groups (parley/scoring/resampling.py): what
makes a case hard for both models cancels in the difference. parley/scoring/significance.py has the p values.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from parley.evaluation import Score, Unscored
from parley.scoring.resampling import Estimate, by_group, draws, estimate, resampled_means, rounded, wilson
from parley.scoring.significance import detectable, permutation

Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]

NO_CASE = "no case in this split"
NO_INTERVAL = "all cases come from one conversation group; an interval needs two"
# The least and the most that a unit can be: a resample weighs cases unevenly, and may come to more.
RANGES = {"rate": (0.0, 1.0), "difference of rates": (-1.0, 1.0)}


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
    entry = _entry(groups, unit, higher_is_better, unscored)
    values = np.array([(tuned.value, base.value) for _, tuned, base in scored])
    weights = np.array([(tuned.weight, base.weight) for _, tuned, base in scored])
    if why := _nothing(unscored, weights):
        return entry | {"value": None, "not_scored": why}
    drawn = resampled_means(values, weights, groups, resamples=resamples, seed=seed)
    entry |= _estimates((values * weights).sum(axis=0) / weights.sum(axis=0), drawn, entry)
    entry["p"] = permutation(values, weights, groups, resamples=resamples, seed=seed)
    entry["detectable"] = detectable(values, weights, groups)
    if unit == "rate" and drawn is not None:
        _widen_rates(entry, [len(set(values[weights[:, column] > 0, column])) == 1 for column in (0, 1)])
    if shown:
        entry["shown"] = {"unit": shown_unit}
        for model in ("tuned", "base"):
            ends = entry[model].items()
            entry["shown"][model] = {key: None if end is None else rounded(shown(end)) for key, end in ends}
    return entry


def compare_statistic(
    tuned: Statistic,
    base: Statistic,
    groups: Sequence[str],
    *,
    unit: str,
    higher_is_better: bool,
    resamples: int,
    seed: int,
    not_scored: str = "",
) -> dict[str, Any]:
    """An entry as `compare` makes it, without p, of what is no mean of cases, such as an area under a curve.

    A model's statistic takes times (samples, cases), how often each case counts, and gives (samples,). `groups` are
    the cases', one each; `not_scored` says why there is nothing to measure.
    """
    entry, drawn = _entry(groups, unit, higher_is_better, {}), None
    if not groups or not_scored:
        return entry | {"value": None, "not_scored": not_scored or NO_CASE}
    if entry["groups"] > 1:
        names, index = np.unique(np.asarray(groups), return_inverse=True)
        times = draws(len(names), resamples, seed)
        # In parts, so that memory does not grow with the number of cases times resamples.
        parts: list[np.ndarray] = [times[at : at + 100][:, index].astype(float) for at in range(0, resamples, 100)]
        drawn = np.column_stack([np.concatenate([model(part) for part in parts]) for model in (tuned, base)])
    once = np.ones((1, len(groups)))
    return entry | _estimates(np.array([model(once)[0] for model in (tuned, base)]), drawn, entry)


def _entry(
    groups: Sequence[str], unit: str, higher_is_better: bool | None, unscored: Mapping[str, int]
) -> dict[str, Any]:
    """What an entry says before any number."""
    return {
        "unit": unit,
        "higher_is_better": higher_is_better,
        "n": len(groups),
        "groups": len(set(groups)),
        "unscored": dict(sorted(unscored.items())),
    }


def _nothing(unscored: Mapping[str, int], weights: np.ndarray) -> str:
    """Why there is nothing to compare; "" where there is."""
    if not len(weights):
        return ", ".join(f"{reason} ({count})" for reason, count in sorted(unscored.items())) or NO_CASE
    # A rate of one model has nothing to count, such as calls that were never made.
    empty = [model for model, total in zip(("tuned", "base"), weights.sum(axis=0), strict=True) if not total]
    return f"nothing to count for {' and '.join(empty)}" if empty else ""


def _estimates(means: np.ndarray, drawn: np.ndarray | None, entry: Mapping[str, Any]) -> dict[str, Any]:
    """`tuned`, `base` and `difference` of means (2,) and their resamples (resamples, 2); None for one group alone."""
    low, high = RANGES.get(entry["unit"], (-math.inf, math.inf))
    ends = {"tuned": (low, high), "base": (low, high), "difference": (low - high, high - low)}
    values = (means[0], means[1], means[0] - means[1])
    if drawn is None:
        found = {name: estimate(value, None, 1) for name, value in zip(ends, values, strict=True)}
        return {**found, "no_interval": NO_INTERVAL}
    columns = (drawn[:, 0], drawn[:, 1], drawn[:, 0] - drawn[:, 1])
    return {
        name: estimate(value, np.clip(column, *ends[name]), entry["groups"])
        for name, value, column in zip(ends, values, columns, strict=True)
    }


def mean(rated: Sequence[tuple[str, float]], *, resamples: int, seed: int) -> Estimate:
    """The mean of (group, rate or share) with its interval and n; no interval with fewer than two groups."""
    if not rated:
        return {"value": None, "low": None, "high": None, "n": 0}
    groups, values = zip(*rated, strict=True)
    n, count = len(values), len(set(groups))
    value = sum(values) / n
    if count > 1 and len(set(values)) == 1:
        low, high = wilson(value, count)
        return {"value": rounded(value), "low": rounded(low), "high": rounded(high), "n": n}
    column = np.array(values, float)[:, None]
    drawn = resampled_means(column, np.ones_like(column), groups, resamples=resamples, seed=seed)
    return {**estimate(value, None if drawn is None else drawn[:, 0], count), "n": n}


def weighted_kappa(
    ours: Sequence[int], theirs: Sequence[int], groups: Sequence[str], *, resamples: int, seed: int
) -> Estimate:
    """Cohen's kappa with quadratic weights of two raters' whole-number scores, with its interval and n.

    1 - observed / expected squared difference (Cohen, 1968, https://doi.org/10.1037/h0026256). No value where both
    raters gave one and the same score to everything.
    """
    a, b = np.array(ours, float), np.array(theirs, float)
    moments = np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b])  # kappa follows from their totals
    sums, _ = by_group(moments, np.ones_like(moments), groups)
    value, drawn = _kappa(sums.sum(axis=0)), None
    if len(sums) > 1:
        drawn = _kappa(np.einsum("rg,gc->rc", draws(len(sums), resamples, seed), sums))
        drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": len(a)}
    return {**estimate(float(value), drawn, len(sums)), "n": len(a)}


def _kappa(sums: np.ndarray) -> np.ndarray:
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - n * (aa + bb - 2 * ab) / (n * (aa + bb) - 2 * a * b)


def _unscored(pair: Pair) -> str:
    """Why a pair can't be compared; "" when it can."""
    tuned = pair.tuned.reason if isinstance(pair.tuned, Unscored) else ""
    base = pair.base.reason if isinstance(pair.base, Unscored) else ""
    if tuned and base:
        return tuned if tuned == base else f"tuned: {tuned}; base: {base}"
    return f"tuned: {tuned}" if tuned else f"base: {base}" if base else ""


def _widen_rates(entry: dict[str, Any], constant: Sequence[bool]) -> None:
    """Gives a rate that is the same in every case Wilson's interval: "none of 20" is no proof of never.

    Two such rates give Newcombe's interval of their difference. n counts groups, which is careful: cases
    of one group may all be alike.
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I (Newcombe, method 10)
    """
    for model, is_constant in zip(("tuned", "base"), constant, strict=True):
        if is_constant:
            low, high = wilson(entry[model]["value"], entry["groups"])
            entry[model] |= {"low": rounded(low), "high": rounded(high)}
    if all(constant):
        tuned, base, gap = entry["tuned"], entry["base"], entry["difference"]
        below = math.hypot(tuned["value"] - tuned["low"], base["high"] - base["value"])
        above = math.hypot(tuned["high"] - tuned["value"], base["value"] - base["low"])
        gap |= {"low": rounded(gap["value"] - below), "high": rounded(gap["value"] + above)}
