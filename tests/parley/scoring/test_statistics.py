import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, t

from parley.evaluation import Score, Unscored
from parley.reporting.wording import verdict
from parley.scoring.resampling import resampled_means, wilson
from parley.scoring.statistics import Pair, compare, mean, weighted_kappa


def compared(pairs: Sequence[Pair], unit: str = "0-1", **options: Any) -> dict[str, Any]:
    return compare(pairs, **{"unit": unit, "higher_is_better": True, "resamples": 2000, "seed": 1, **options})


def expanded_level(groups: int) -> float:
    """Confidence level at which plain percentiles are Hesterberg's expanded 95 % interval."""
    return 1 - 2 * norm.cdf(t.ppf(0.025, groups - 1) * math.sqrt(groups / (groups - 1)))


def each_its_own_group(tuned: Iterable[float], base: Iterable[float]) -> list[Pair]:
    return [Pair(f"g{i}", Score(t), Score(b)) for i, (t, b) in enumerate(zip(tuned, base, strict=True))]


def test_mean_is_weighted_by_hand() -> None:
    found = compared([Pair("a", Score(1.0, 3), Score(2.0, 3)), Pair("b", Score(5.0, 1), Score(2.0, 1))])
    assert found["tuned"]["value"] == 2.0  # (1 * 3 + 5 * 1) / 4
    assert found["base"] == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert found["difference"]["value"] == 0.0
    assert (found["n"], found["groups"], found["unscored"]) == (2, 2, {})


def test_interval_agrees_with_scipy_on_independent_cases() -> None:
    draw = np.random.default_rng(7)
    tuned, base = draw.normal(1.0, 2.0, 80), draw.normal(0.4, 2.0, 80)
    found = compared(each_its_own_group(tuned, base), resamples=20000)
    options = {"confidence_level": expanded_level(80), "n_resamples": 20000, "method": "percentile", "random_state": 2}
    for name, values in (("tuned", tuned), ("base", base), ("difference", tuned - base)):
        wanted = bootstrap((values,), np.mean, **options).confidence_interval
        assert found[name]["low"] == pytest.approx(wanted.low, abs=0.02)
        assert found[name]["high"] == pytest.approx(wanted.high, abs=0.02)


def test_weighted_interval_agrees_with_scipy() -> None:
    draw = np.random.default_rng(3)
    values, weights = draw.normal(size=60), draw.integers(1, 40, 60).astype(float)
    pairs = [Pair(str(i), Score(v, w), Score(0.0, w)) for i, (v, w) in enumerate(zip(values, weights, strict=True))]
    wanted = bootstrap(
        (values, weights),
        lambda v, w, axis=-1: (v * w).sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        confidence_level=expanded_level(60),
        n_resamples=20000,
        method="percentile",
        random_state=5,
    ).confidence_interval
    found = compared(pairs, resamples=20000)["tuned"]
    assert found["low"] == pytest.approx(wanted.low, abs=0.02)
    assert found["high"] == pytest.approx(wanted.high, abs=0.02)


def test_cases_of_one_conversation_are_drawn_together() -> None:
    # Ten copies of each case say nothing new: the interval stays as wide as without the copies.
    draw = np.random.default_rng(11)
    values = draw.normal(size=30)
    once = compared(each_its_own_group(values, np.zeros(30)))
    ten_times = compared([Pair(f"g{i}", Score(v), Score(0.0)) for i, v in enumerate(values) for _ in range(10)])
    width = once["tuned"]["high"] - once["tuned"]["low"]
    assert ten_times["n"] == 300 and ten_times["groups"] == 30
    assert ten_times["tuned"]["high"] - ten_times["tuned"]["low"] == pytest.approx(width, rel=0.1)


def test_interval_of_ten_conversations_covers_the_truth_about_95_times_in_100() -> None:
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        # Ten groups of 3 cases that share most of their luck; the true mean is 0. Plain percentiles: 90 in 100.
        values = np.repeat(draw.normal(size=10), 3) + 0.3 * draw.normal(size=30)
        pairs = [Pair(str(i // 3), Score(v), Score(0.0)) for i, v in enumerate(values)]
        tuned = compared(pairs, resamples=1000)["tuned"]
        covered += tuned["low"] <= 0 <= tuned["high"]
    assert 0.925 <= covered / 600 <= 0.975


def test_identical_models_differ_by_exactly_nothing() -> None:
    draw = np.random.default_rng(5)
    values = draw.normal(size=25)
    found = compared(each_its_own_group(values, values))
    assert found["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["tuned"]["low"] < found["tuned"]["high"]


def test_pairing_cancels_what_both_models_find_hard() -> None:
    draw = np.random.default_rng(9)
    hard = draw.normal(0, 10, 50)
    found = compared(each_its_own_group(hard + 1 + draw.normal(0, 0.1, 50), hard))
    assert found["difference"]["high"] - found["difference"]["low"] < 0.1
    assert found["tuned"]["high"] - found["tuned"]["low"] > 3


def test_same_seed_same_numbers_other_seed_other_numbers() -> None:
    pairs = each_its_own_group(np.arange(20.0), np.zeros(20))
    assert compared(pairs) == compared(pairs)
    assert compared(pairs, seed=2)["tuned"] != compared(pairs)["tuned"]


def test_every_draw_has_as_many_groups_as_there_are() -> None:
    # With group g worth g, weight 1 each, a resampled mean is a mean of three draws of 0, 1 and 2.
    means = resampled_means(np.arange(3.0)[:, None], np.ones((3, 1)), ["a", "b", "c"], resamples=2000, seed=3)
    assert {round(3 * mean) for mean in means[:, 0]} == set(range(7))
    assert np.allclose(3 * means, np.round(3 * means))
    assert means.mean() == pytest.approx(1, abs=0.05)


def test_unscored_is_counted_and_never_a_zero() -> None:
    pairs = [
        Pair("a", Score(0.5), Score(0.5)),
        Pair("b", Score(0.7), Score(0.5)),
        Pair("c", Unscored("no words"), Score(0.5)),
        Pair("d", Score(0.5), Unscored("no words")),
        Pair("e", Unscored("no words"), Unscored("no words")),
        Pair("f", Unscored("blocked"), Unscored("no words")),
    ]
    found = compared(pairs)
    assert found["tuned"]["value"] == 0.6
    assert found["n"] == 2
    assert found["unscored"] == {
        "base: no words": 1,
        "no words": 1,
        "tuned: blocked; base: no words": 1,
        "tuned: no words": 1,
    }
    assert found["n"] + sum(found["unscored"].values()) == len(pairs)


def test_nothing_scored_says_why_instead_of_a_number() -> None:
    found = compared([Pair("a", Unscored("no words"), Unscored("no words"))] * 3)
    assert found["value"] is None and found["not_scored"] == "no words (3)"
    assert "tuned" not in found and "difference" not in found
    assert compared([])["not_scored"] == "no case in this split"


def test_one_conversation_gives_a_mean_without_an_interval() -> None:
    found = compared([Pair("a", Score(1.0), Score(0.0)), Pair("a", Score(2.0), Score(0.0))])
    assert found["tuned"] == {"value": 1.5, "low": None, "high": None}
    assert found["difference"] == {"value": 1.5, "low": None, "high": None}
    assert "two" in found["no_interval"]


def test_none_of_ten_is_no_proof_of_never() -> None:
    # Wilson for 0 of 10: z^2 / (n + z^2); Newcombe for 0 of 10 against 10 of 10 adds the two gaps squared.
    found = compared(each_its_own_group([0.0] * 10, [1.0] * 10), unit="rate")
    edge = 10 / (10 + 1.959963984540054**2)
    assert found["tuned"]["low"] == 0.0
    assert found["tuned"]["high"] == pytest.approx(1 - edge, rel=1e-9)
    assert found["base"]["low"] == pytest.approx(edge, rel=1e-9)
    assert found["base"]["high"] == 1.0
    assert found["difference"]["low"] == -1.0
    assert found["difference"]["high"] == pytest.approx(-1 + math.hypot(1 - edge, 1 - edge), rel=1e-9)


def test_no_interval_reaches_beyond_what_its_unit_can_be() -> None:
    # Three groups of triggered cases, nine of clean ones, weighing the same in all: some draws weigh them otherwise.
    fired = [Pair(f"t{n}", Score(2.0, 4.0), Score(-2.0, 4.0)) for n in range(3)]
    quiet = [Pair(f"c{n}", Score(0.0, 4 / 3), Score(0.0, 4 / 3)) for n in range(9)]
    free = compared(fired + quiet)
    assert (free["tuned"]["value"], free["base"]["value"]) == (1.0, -1.0) and free["tuned"]["high"] > 1.4
    found = compared(fired + quiet, unit="difference of rates")
    assert (found["tuned"]["high"], found["base"]["low"], found["difference"]["high"]) == (1.0, -1.0, 2.0)
    assert found["tuned"]["low"] == free["tuned"]["low"] and found["difference"]["low"] == free["difference"]["low"]


def test_never_in_either_model_leaves_room_for_a_difference() -> None:
    found = compared(each_its_own_group([0.0] * 10, [0.0] * 10), unit="rate")
    assert found["difference"]["value"] == 0.0
    assert found["difference"]["high"] == found["tuned"]["high"] > 0.2
    assert found["difference"]["low"] == -found["base"]["high"]


def test_shown_goes_through_the_ends_of_the_interval() -> None:
    found = compared(
        each_its_own_group([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), unit="nats/token", shown=math.exp, shown_unit="ppl"
    )
    assert found["shown"]["unit"] == "ppl"
    assert found["shown"]["tuned"]["value"] == pytest.approx(math.exp(2.0))
    assert found["shown"]["tuned"]["low"] == pytest.approx(math.exp(found["tuned"]["low"]))
    alone = compared([Pair("a", Score(1.0), Score(1.0))], shown=math.exp, shown_unit="ppl")
    assert alone["shown"]["tuned"]["low"] is None


def test_none_of_n_and_all_of_n_end_exactly_at_0_and_1() -> None:
    assert [(wilson(0.0, n)[0], wilson(1.0, n)[1]) for n in range(1, 50)] == [(0.0, 1.0)] * 49


def test_a_rate_of_weighed_cases_leaves_out_what_weighs_nothing() -> None:
    pairs = [Pair(f"g{n}", Score(1.0, 2.0) if n else Score(0.0, 0.0), Score(0.0)) for n in range(10)]
    entry = compare(pairs, unit="rate", higher_is_better=True, resamples=300, seed=1)
    assert entry["tuned"] == {"value": 1.0, "low": pytest.approx(10 / (10 + 1.96**2), rel=1e-3), "high": 1.0}


def test_a_rate_of_one_model_that_counts_nothing_is_not_scored() -> None:
    pairs = [Pair(f"g{n}", Score(1.0), Score(0.0, 0.0)) for n in range(3)]
    entry = compare(pairs, unit="rate", higher_is_better=True, resamples=300, seed=1)
    assert entry["not_scored"] == "nothing to count for base" and entry["value"] is None


def test_draws_without_weight_leave_no_hole_in_the_interval() -> None:
    pairs = [Pair(f"g{n}", Score(float(n < 2), float(n < 3)), Score(0.0)) for n in range(6)]
    entry = compare(pairs, unit="rate", higher_is_better=True, resamples=300, seed=1)
    assert entry["tuned"]["value"] == pytest.approx(2 / 3) and entry["tuned"]["low"] <= 2 / 3 <= entry["tuned"]["high"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.floats(-50, 50), st.floats(-50, 50), st.integers(1, 30)),
        min_size=2,
        max_size=30,
    )
)
def test_ends_lie_in_bounds_whatever_the_order_of_rows(rows: list[tuple[str, float, float, int]]) -> None:
    pairs = [Pair(group, Score(tuned, weight), Score(base, weight)) for group, tuned, base, weight in rows]
    found = compared(pairs, resamples=200)
    other = compared(pairs[::-1], resamples=200)
    for name, low, high in (("tuned", -50, 50), ("base", -50, 50), ("difference", -100, 100)):
        if found["groups"] > 1:
            assert low - 1e-6 <= found[name]["low"] <= found[name]["high"] <= high + 1e-6
        assert other[name]["value"] == pytest.approx(found[name]["value"], abs=1e-6)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 10), (50, 100)])
def test_wilsons_interval_is_that_of_statsmodels(hits: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(hits / n, n) == pytest.approx(proportion_confint(hits, n, method="wilson"))


def test_kappa_is_that_of_statsmodels_and_its_interval_holds_it() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    drawn = np.random.default_rng(3)
    ours = drawn.integers(0, 11, size=200)
    theirs = np.clip(ours + drawn.integers(-3, 4, size=200), 0, 10)
    counted = np.zeros((11, 11))
    np.add.at(counted, (ours, theirs), 1)
    known = cohens_kappa(counted, wt="quadratic")
    groups = [f"g{n}" for n in range(200)]
    found = weighted_kappa(list(ours), list(theirs), groups, resamples=2000, seed=1)
    assert (found["value"], found["n"]) == (pytest.approx(known.kappa), 200)
    assert found["low"] == pytest.approx(known.kappa_low, abs=0.02)
    assert found["high"] == pytest.approx(known.kappa_upp, abs=0.02)


def test_kappa_of_raters_who_never_vary_is_no_number() -> None:
    assert weighted_kappa([3, 3], [3, 3], ["a", "b"], resamples=200, seed=1)["value"] is None
    assert weighted_kappa([3, 3], [5, 5], ["a", "b"], resamples=200, seed=1)["value"] == 0


def test_a_mean_of_nothing_is_no_number_and_of_one_group_has_no_interval() -> None:
    assert mean([], resamples=200, seed=1) == {"value": None, "low": None, "high": None, "n": 0}
    assert mean([("a", 1.0), ("a", 0.0)], resamples=200, seed=1) == {"value": 0.5, "low": None, "high": None, "n": 2}
    always = mean([(f"g{n}", 1.0) for n in range(20)], resamples=200, seed=1)
    assert (always["value"], always["high"]) == (1.0, 1.0) and 0.8 < always["low"] < 0.9


def test_the_same_answers_have_a_p_value_of_1_and_nothing_to_detect() -> None:
    found = compared(each_its_own_group([0.5, 0.25, 1.0], [0.5, 0.25, 1.0]))
    assert (found["p"], found["detectable"]) == (1.0, None)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["0-1", "rate"])
def test_two_identical_models_are_called_different_once_in_twenty(unit: str) -> None:
    called = {"interval": 0, "p": 0}
    for seed in range(200):
        draw = np.random.default_rng(seed)
        hard = draw.normal(0, 1, 40)  # what makes a conversation hard is hard for both
        pairs = []
        for group, cases in enumerate(draw.integers(1, 6, size=40)):
            for _ in range(cases):
                tuned, base = hard[group] + draw.normal(0, 1, 2)
                if unit == "rate":
                    tuned, base = float(tuned > 0), float(base > 0)
                pairs.append(Pair(f"g{group}", Score(tuned), Score(base)))
        found = compared(pairs, unit=unit, seed=seed)
        called["interval"] += verdict(found) in ("better", "worse")
        called["p"] += found["p"] < 0.05
    assert 0.02 <= called["interval"] / 200 <= 0.08, called
    assert 0.02 <= called["p"] / 200 <= 0.08, called
