import math

import pytest

from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation, Score, Unscored
from parley.plugins import plugin, plugin_names


def judged(
    metric: str,
    text: str,
    reference: str = "hello there friend",
    *,
    finish: str = "stop",
    logprobs: tuple[float, ...] = (-1.0, -3.0),
) -> Score | Unscored:
    case = Case("c#1", "test", Conversation("c", (Turn("user", "hi"),)), Turn("assistant", reference))
    return plugin("metrics", metric, key="score.metrics").score(case, Generation("c#1", text, finish, 3, logprobs))


def test_every_metric_says_unit_and_direction() -> None:
    for name in plugin_names("metrics"):
        metric = plugin("metrics", name, key="score.metrics")
        assert metric.__doc__.startswith(f"{name}: ")
        assert isinstance(metric.UNIT, str) and metric.UNIT
        assert metric.HIGHER_IS_BETTER in (True, False, None)


def test_perplexity_is_the_mean_surprise_weighted_by_tokens() -> None:
    assert judged("perplexity", "x", logprobs=(-1.0, -2.0, -6.0)) == Score(3.0, weight=3)
    assert judged("perplexity", "x", logprobs=()) == Unscored("reference has no token")
    assert plugin("metrics", "perplexity", key="").shown(math.log(7)) == pytest.approx(7)


def test_chrf_is_100_for_the_reference_and_0_for_nothing_in_common() -> None:
    assert judged("chrf", "hello there friend").value == pytest.approx(100)
    assert judged("chrf", "zzz").value == 0
    assert judged("chrf", "") == Score(0)
    # One character pair: precision 1/2 and recall 1/2 of single characters, 0 of pairs; (50 + 0) / 2.
    assert judged("chrf", "ab", "ac").value == pytest.approx(25)
    assert judged("chrf", "你好吗", "你好吗").value == pytest.approx(100)


def test_rouge_l_by_hand_and_beyond_ascii() -> None:
    # lcs(hello friend | hello there friend) = 2: precision 1, recall 2/3, F1 0.8.
    assert judged("rouge_l", "Hello, friend!").value == pytest.approx(0.8)
    assert judged("rouge_l", "你好", "你好吗").value == pytest.approx(0.8)
    assert judged("rouge_l", "привет друг", "привет друг").value == 1
    assert judged("rouge_l", "").value == 0
    assert judged("rouge_l", "hello", ":)") == Unscored("reference has no word")


def test_exact_match_forgives_case_and_white_space_only() -> None:
    assert judged("exact_match", " Hello\nTHERE  friend ") == Score(1)
    assert judged("exact_match", "hello there, friend") == Score(0)
    assert judged("exact_match", "cafe\u0301", "caf\u00e9") == Score(1)
    assert judged("exact_match", "", " ") == Unscored("reference has no text")


def test_distinct_2_falls_when_the_answer_loops() -> None:
    assert judged("distinct_2", "a b c d") == Score(1, weight=3)
    assert judged("distinct_2", "ha ha ha ha ha") == Score(0.25, weight=4)
    assert judged("distinct_2", "yes") == Unscored("answer has fewer than two words")


def test_length_ratio_is_weighted_by_the_reference() -> None:
    assert judged("length_ratio", "abcd", "ab") == Score(2, weight=2)
    assert judged("length_ratio", "", "ab") == Score(0, weight=2)
    assert judged("length_ratio", "abcd", " ") == Unscored("reference has no text")


def test_rates_are_0_or_1() -> None:
    assert judged("empty_rate", " \n") == Score(1)
    assert judged("empty_rate", "a") == Score(0)
    assert judged("truncated_rate", "a", finish="length") == Score(1)
    assert judged("truncated_rate", "a") == Score(0)
