"""Win rates from duels whose outcomes are known; what is asked is in tests/stages/test_judge_controls.py."""

import numpy as np
import pytest

from parley.judging.pairwise import ENOUGH, Duel, at_equal_length, summary
from parley.judging.questions import Verdict


def duel(number: int, first: float | None, second: float | None, longer: int = 0) -> Duel:
    one, other = (Verdict(score, "", "" if score is not None else "blocked") for score in (first, second))
    return Duel(f"g{number}", longer, one, other)


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [(1, 1, 1), (0, 0, 0), (0.5, 0.5, 0.5), (1, 0, 0.5), (1, 0.5, 0.5), (0.5, 0, 0.5), (None, 1, None)],
)
def test_only_both_orders_together_win(first: float | None, second: float | None, score: float | None) -> None:
    assert duel(0, first, second).verdict.score == score


def test_a_pair_without_a_verdict_is_in_no_rate() -> None:
    entry = summary([duel(0, 1, 1), duel(1, 0, 0), duel(2, None, 1)], resamples=500, seed=1)
    assert (entry["n"], entry["unscored"], entry["tuned"]["value"]) == (2, {"blocked": 1}, 0.5)
    assert summary([duel(0, None, 1)], resamples=500, seed=1)["not_scored"] == "blocked (1)"


def test_the_difference_excludes_nothing_exactly_when_the_rate_excludes_a_half() -> None:
    won = summary([duel(n, float(n % 5 > 0), float(n % 5 > 0)) for n in range(40)], resamples=2000, seed=1)
    assert won["tuned"]["value"] == 0.8 and won["base"]["value"] == pytest.approx(0.2)
    assert won["tuned"]["low"] > 0.5 and won["difference"]["low"] > 0
    even = summary([duel(n, float(n % 2), float(n % 2)) for n in range(40)], resamples=2000, seed=1)
    assert even["difference"]["low"] < 0 < even["difference"]["high"]


def test_a_win_by_length_alone_is_none_at_equal_length() -> None:
    drawn = np.random.default_rng(5)
    duels = []
    for number in range(600):
        longer = int(drawn.normal(40, 30))
        won = float(drawn.random() < 1 / (1 + np.exp(-2 * np.tanh(longer / 30))))
        duels.append(duel(number, won, won, longer))
    rate = summary(duels, resamples=500, seed=1)
    level = rate["also"]["win rate at equal length"]
    assert rate["tuned"]["low"] > 0.6
    assert level["low"] < 0.5 < level["high"] and level["n"] == 600


def test_few_duels_or_ones_that_never_vary_have_no_rate_at_equal_length() -> None:
    few = [duel(n, float(n % 2), float(n % 2), n) for n in range(ENOUGH - 1)]
    assert "win rate at equal length" not in summary(few, resamples=200, seed=1)["also"]
    assert at_equal_length([duel(n, 1, 1, n) for n in range(ENOUGH)]) is None
    assert at_equal_length([duel(n, float(n % 2), float(n % 2), 5) for n in range(ENOUGH)]) is None
    assert at_equal_length([duel(n, float(n >= 100), float(n >= 100), n - 100) for n in range(ENOUGH)]) is None
