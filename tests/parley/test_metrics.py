import math
from pathlib import Path

import pytest

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.evaluation import Case, Generation, Score, Unscored
from parley.jsonl import write_jsonl
from parley.plugins import plugin, plugin_names
from parley.scoring.copying import Training


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


def copied_from(training: str, metric: str, text: str, tmp_path: Path, asked: str = "hi") -> Score | Unscored:
    """The score where the training text is one conversation whose answer is `training`."""
    talk = Conversation("t", (Turn("user", "so"), Turn("assistant", training)))
    write_jsonl(tmp_path / "train.jsonl", [to_sharegpt(talk)])
    case = Case("c#1", "test", Conversation("c", (Turn("user", asked),)), Turn("assistant", "x"))
    scorer = plugin("metrics", metric, key="score.metrics").scorer(Training(tmp_path / "train.jsonl"))
    return scorer(case, Generation("c#1", text, "stop", 3, ()))


def test_every_metric_says_unit_and_direction() -> None:
    for name in plugin_names("metrics"):
        metric = plugin("metrics", name, key="score.metrics")
        assert metric.__doc__.startswith(f"{name}: ")
        assert isinstance(metric.UNIT, str) and metric.UNIT
        assert metric.HIGHER_IS_BETTER in (True, False, None)


def test_perplexity_is_the_mean_surprise_weighted_by_tokens() -> None:
    assert judged("perplexity", "x", logprobs=(-1.0, -2.0, -6.0)) == Score(3.0, weight=3)
    assert judged("perplexity", "x", logprobs=()) == Unscored("no log-probabilities of the reference")
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


def test_bleu_is_100_for_the_reference_and_0_for_nothing_in_common() -> None:
    assert judged("bleu", "Hello there, friend!").value == pytest.approx(100)
    assert judged("bleu", "x y z").value == 0
    assert judged("bleu", "").value == 0
    assert judged("bleu", "你好吗朋友", "你好吗朋友").value == pytest.approx(100)
    # All four words are there, and 2 of 3 pairs, 1 of 2 triples; no quadruple: smoothed to 1/2.
    assert judged("bleu", "a b c e d", "a b c d e").value == pytest.approx(100 * (1 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25)
    assert judged("bleu", "hello", ":)") == Unscored("reference has no word")


def test_repetition_is_the_share_of_runs_said_before() -> None:
    assert judged("repetition", "a b c d e") == Score(0, weight=2)
    assert judged("repetition", "ha " * 8) == Score(0.8, weight=5)
    assert judged("repetition", "ha ha ha") == Unscored("answer has fewer than 4 words")
    assert judged("repetition", "") == Unscored("answer has fewer than 4 words")


SECRET = "the spare key lies under the third stone by the old gate"  # 12 words


def test_copied_training_text_is_found_where_it_begins_and_ends(tmp_path: Path) -> None:
    whole = copied_from(SECRET, "verbatim_copy", SECRET.upper() + "!", tmp_path)
    assert whole == Score(1.0, weight=12)
    part = "well you know the spare key lies under the third stone of mine"  # 8 of its 13 words are copied
    assert copied_from(SECRET, "verbatim_copy", part, tmp_path) == Score(8 / 13, weight=13)
    assert copied_from(SECRET, "longest_copy", part, tmp_path) == Score(8.0)


def test_what_is_short_quoted_or_from_two_places_is_not_copied(tmp_path: Path) -> None:
    for text in ("the spare key lies under the third", "spare the key", ""):
        assert copied_from(SECRET, "longest_copy", text, tmp_path) == Score(0.0)
    assert copied_from(SECRET, "longest_copy", SECRET, tmp_path, asked=f"was it: {SECRET}?") == Score(0.0)
    halves = "lies under the third stone by the spare key lies under the third"
    assert copied_from(SECRET, "longest_copy", halves, tmp_path) == Score(0.0)
    assert copied_from(SECRET, "verbatim_copy", "", tmp_path) == Unscored("answer has no word")
    assert copied_from("", "longest_copy", SECRET, tmp_path) == Score(0.0)


@pytest.mark.parametrize(
    ("ended", "probability", "nats"),
    [("yes", 0.25, math.log(4)), ("no", 0.25, math.log(4 / 3)), ("no", 1.0, math.log(1e6))],
)
def test_end_loss_is_the_surprise_at_whether_a_turn_has_ended(ended: str, probability: float, nats: float) -> None:
    score = plugin("metrics", "end_loss", key="").score
    case = Case("c#1", "test", Conversation("c", ()), Turn("user", "so"), {"end_of_turn": ended})
    assert score(case, Generation("c#1", "", "stop", 1, (), {"end": probability})).value == pytest.approx(
        nats, rel=1e-5
    )
    assert score(case, Generation("c#1", "", "stop", 1, ())) == Unscored("no end of turn is asked for")
