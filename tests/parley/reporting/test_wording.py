import math
from typing import Any

import pytest

from parley.reporting.wording import headline, interval, number, ordered, surety, verdict


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0, "0"),
        (7, "7"),
        (12345, "12,345"),
        (1677.7, "1,678"),
        (999.6, "1,000"),
        (999.4, "999"),
        (2.2, "2.20"),
        (-2.5, "−2.50"),
        (0.0123, "0.0123"),
        (0.00012345, "1.23e−04"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, said: str) -> None:
    assert number(value) == said


def entry(low: float | None, high: float | None, higher_is_better: bool | None) -> dict[str, Any]:
    return {"higher_is_better": higher_is_better, "difference": {"value": 0.0, "low": low, "high": high}}


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "said"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, False, "better"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, 0.1, True, "no difference shown"),
        (0.0, 0.1, True, "no difference shown"),
        (0.1, 0.2, None, "different"),
        (None, None, True, "no interval"),
    ],
)
def test_verdict_is_what_the_interval_allows(
    low: float | None, high: float | None, higher_is_better: bool | None, said: str
) -> None:
    assert verdict(entry(low, high, higher_is_better)) == said


def test_not_scored_is_no_verdict() -> None:
    assert verdict({"not_scored": "no case"}) == "not scored"


def test_interval_or_none() -> None:
    assert interval({"low": -0.5, "high": 1500.0}) == "[−0.500, 1,500]"
    assert interval({"low": None, "high": None}) == "no interval"


def perplexity(low: float, value: float, high: float) -> dict[str, Any]:
    shown = {"tuned": {"value": 10.0}, "base": {"value": 10 / math.exp(value)}}
    gap = {"value": value, "low": low, "high": high}
    return {"higher_is_better": False, "n": 50, "groups": 20, "shown": shown, "difference": gap}


def test_headline_says_small_changes_in_percent_and_large_ones_in_times() -> None:
    found = headline({"perplexity": perplexity(math.log(0.9), math.log(0.95), math.log(0.98))}, {})
    assert found.title == "Better than its base"
    assert "5.00 % lower (95 % interval: 2.00 to 10.0 % lower), on 50 test cases from 20" in found.sentence
    found = headline({"perplexity": perplexity(math.log(2), math.log(4), math.log(8))}, {})
    assert found.title == "Worse than its base"
    assert "4.00 times higher (95 % interval: 2.00 to 8.00 times higher)" in found.sentence
    found = headline({"perplexity": perplexity(math.log(0.9), 0.0, math.log(1.1))}, {})
    assert found.title == "No difference from its base shown"
    assert "the same (95 % interval: 10.0 % lower to 10.0 % higher)" in found.sentence


def test_headline_without_perplexity_claims_nothing() -> None:
    assert headline({}, {}).sentence == "Not scored: perplexity is not among score.metrics."
    assert headline({"perplexity": {"not_scored": "no case in this split"}}, {}).verdict == "not scored"


def test_a_scorecard_may_name_the_figure_that_decides() -> None:
    estimate = {"tuned": {"value": 0.9}, "base": {"value": 0.5}, "difference": {"value": 0.4, "low": 0.3, "high": 0.5}}
    entry = {**estimate, "higher_is_better": True, "n": 50, "groups": 20}
    recipe = {"headline": "roc_auc", "test": {"roc_auc": {"all": entry}}}
    found = headline({"perplexity": perplexity(0.0, 0.1, 0.2)}, recipe)
    assert found.title == "Better than its base"
    assert found.sentence == (
        "roc_auc of the tuned model is 0.900, of its base 0.500; difference 0.400 [0.300, 0.500], on 50 test cases "
        "from 20 conversation groups."
    )
    recipe["test"]["roc_auc"]["all"] = {"not_scored": "all cases are positive"}
    assert headline({}, recipe).sentence == "roc_auc is not scored: all cases are positive."


def test_entries_keep_the_order_of_the_params_and_lose_none() -> None:
    entries = {"a": {}, "b": {}, "c": {}, "d": {}}
    assert list(ordered(entries, ["c", "a", "gone"])) == ["c", "a", "b", "d"]


def test_surety_says_what_is_known_of_chance() -> None:
    known = {"p": 0.0125, "p_holm": 0.05, "tests": 4, "detectable": 1.5}
    assert surety(known) == "p 0.013, Holm 0.05; detectable 1.50"
    assert surety({"p": 1.0, "p_holm": 1.0, "tests": 1, "detectable": None}) == "p 1"
    assert surety({"p": 0.0005}) == "p < 0.001"
    assert surety({"p": None, "detectable": None}) == surety({}) == ""
