from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from parley.scoring.significance import adjusted, detectable, holm, permutation


def columns(tuned: Sequence[float], base: Sequence[float]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    values = np.column_stack([tuned, base])
    return values, np.ones_like(values), [f"g{n}" for n in range(len(values))]


def scipys_p(tuned: Sequence[float], base: Sequence[float], draws: float = np.inf) -> float:
    def gap(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one, axis=axis) - np.mean(other, axis=axis)

    options = {"permutation_type": "samples", "n_resamples": draws, "rng": np.random.default_rng(4)}
    return float(permutation_test((tuned, base), gap, vectorized=True, **options).pvalue)


def test_few_groups_are_swapped_in_every_way_as_scipy_does() -> None:
    draw = np.random.default_rng(1)
    tuned, base = draw.normal(0.5, 1, 9), draw.normal(0, 1, 9)
    assert permutation(*columns(tuned, base), resamples=2000, seed=1) == pytest.approx(scipys_p(tuned, base))


def test_many_groups_are_swapped_at_random_and_agree_with_scipy() -> None:
    draw = np.random.default_rng(2)
    tuned, base = draw.normal(0.3, 1, 60), draw.normal(0, 1, 60)
    found = permutation(*columns(tuned, base), resamples=20000, seed=1)
    assert found == pytest.approx(scipys_p(tuned, base, 20000), abs=0.01)


def test_cases_of_one_group_are_swapped_together() -> None:
    values = np.column_stack([[1.0] * 40, [0.0] * 40])
    alone = permutation(values, np.ones_like(values), [f"g{n}" for n in range(40)], resamples=2000, seed=1)
    together = permutation(values, np.ones_like(values), [f"g{n % 2}" for n in range(40)], resamples=2000, seed=1)
    assert alone == 1 / 2000 and together == 0.5  # of four ways to swap two groups, two are as large
    assert permutation(values, np.ones_like(values), ["g"] * 40, resamples=2000, seed=1) is None


def test_what_can_be_detected_is_what_statsmodels_says() -> None:
    from statsmodels.stats.power import TTestPower

    draw = np.random.default_rng(5)
    tuned, base = draw.normal(0.2, 1, 30), draw.normal(0, 1, 30)
    known = TTestPower().solve_power(nobs=30, alpha=0.05, power=0.8) * np.std(tuned - base, ddof=1)
    assert detectable(*columns(tuned, base)) == pytest.approx(known, rel=1e-5)


def test_a_difference_that_can_be_detected_is_found_four_times_in_five() -> None:
    draw = np.random.default_rng(6)
    found = []
    for _ in range(300):
        noise = draw.normal(0, 1, 25)
        gap = detectable(*columns(noise, np.zeros(25)))
        fresh = draw.normal(0, 1, 25) + (gap or 0)
        found.append((permutation(*columns(fresh, np.zeros(25)), resamples=1000, seed=1) or 1) < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    found = holm({str(place): p for place, p in enumerate(p_values)})
    with patch("gc.collect"):  # which multipletests calls each time: half a second in a process with torch
        known = multipletests(p_values, method="holm")[1]
    assert [found[str(place)] for place in range(len(p_values))] == pytest.approx(list(known), rel=1e-9, abs=1e-12)


def test_only_metrics_with_a_p_value_count_among_the_tests() -> None:
    entries = {"a": {"p": 0.02}, "b": {"p": 0.04}, "c": {"p": None}, "d": {"not_scored": "why"}}
    assert adjusted(entries) == {
        "a": {"p": 0.02, "p_holm": 0.04, "tests": 2},
        "b": {"p": 0.04, "p_holm": 0.04, "tests": 2},
        "c": {"p": None},
        "d": {"not_scored": "why"},
    }
