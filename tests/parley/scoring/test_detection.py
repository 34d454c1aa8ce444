"""Areas and calibration of two models' probabilities, against counting by hand and against draws made in full."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.scoring.detection import calibration_error, pr_auc, roc_auc
from parley.scoring.statistics import compare_statistic

ONCE = np.ones((1, 4))
PROBABILITY = np.array([0.9, 0.4, 0.6, 0.4])
POSITIVE = np.array([True, True, False, False])


def test_roc_auc_counts_pairs_in_order_and_ties_half() -> None:
    # (0.9, 0.6) and (0.9, 0.4) are right, (0.4, 0.6) is wrong, (0.4, 0.4) is a tie.
    assert roc_auc(PROBABILITY, POSITIVE, ONCE)[0] == 2.5 / 4


def test_pr_auc_is_average_precision() -> None:
    # At 0.9: precision 1, recall 1/2. At 0.4: precision 2/4, recall 1.
    assert pr_auc(PROBABILITY, POSITIVE, ONCE)[0] == pytest.approx(0.5 * 1 + 0.5 * 0.5)


def test_calibration_error_weighs_each_bin_by_its_cases() -> None:
    # Bins: 0.9 (gap 0.1), 0.6 (gap 0.6), the two of 0.4 (mean 0.4 against a rate of 0.5).
    assert calibration_error(PROBABILITY, POSITIVE, ONCE)[0] == pytest.approx((0.1 + 0.6 + 0.2) / 4)
    assert calibration_error(np.array([1.0]), np.array([True]), np.ones((1, 1)))[0] == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_a_case_that_counts_twice_is_two_cases(rows: list[tuple[int, bool, int]]) -> None:
    value, positive, times = (np.array(column) for column in zip(*rows, strict=True))
    for statistic in (roc_auc, pr_auc, calibration_error):
        if not positive[times > 0].any() or positive[times > 0].all():
            continue
        repeated = statistic(np.repeat(value / 4, times), np.repeat(positive, times), np.ones((1, times.sum())))
        assert statistic(value / 4, positive, times[None].astype(float))[0] == pytest.approx(repeated[0])


def compared(tuned: np.ndarray, base: np.ndarray, positive: np.ndarray, groups: list[str]) -> dict[str, Any]:
    models = (partial(roc_auc, probability, positive) for probability in (tuned, base))
    return compare_statistic(*models, groups, unit="area", higher_is_better=True, resamples=200, seed=1)


def test_two_models_are_compared_with_intervals_over_groups() -> None:
    positive = np.arange(80) % 2 == 0
    good, useless = positive * 0.5 + np.linspace(0.1, 0.3, 80), np.full(80, 0.5)
    entry = compared(good, useless, positive, [f"g{number // 4}" for number in range(80)])
    assert (entry["tuned"]["value"], entry["base"]["value"], entry["difference"]["value"]) == (1.0, 0.5, 0.5)
    assert entry["difference"]["low"] > 0
    assert (entry["n"], entry["groups"]) == (80, 20)


def test_one_group_has_no_interval_and_no_case_no_number() -> None:
    entry = compared(PROBABILITY, PROBABILITY, POSITIVE, ["a"] * 4)
    assert (entry["tuned"]["value"], entry["tuned"]["low"]) == (0.625, None)
    none = compared(PROBABILITY[:0], PROBABILITY[:0], POSITIVE[:0], [])
    assert none["not_scored"] == "no case in this split"
