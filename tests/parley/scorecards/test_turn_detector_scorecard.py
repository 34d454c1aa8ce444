"""The turn detector's figures, of probabilities made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from parley.cases.turn_detector import make
from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation
from parley.scorecards.turn_detector import at_best_f1, at_tpr, score
from parley.scoring.both import Both
from parley.scoring.scorecard import block


def cases(split: Any, count: int, *, language: str = "en", kinds: Sequence[str] = ("yes", "no")) -> list[Case]:
    """`count` cases of each kind, five conversations in all, each tenth of them with two words."""
    made = []
    for number in range(count):
        for kind in kinds:
            labels = {"end_of_turn": kind, "language": language, "text": "plain"}
            text = "two words" if number % 10 == 0 else f"some more words {number}"
            id, group = f"{language}-{split}-{number}-{kind}", f"{language}-{split}-{number % 5}"
            made += make(Conversation(id, (Turn("user", text),), group=group, labels=labels), split)
    return made


def scored(rows: list[Case], tuned: Callable[[Case], float]) -> dict[str, Any]:
    """The recipe block for a tuned model as told and a base that gives everything 0.5."""
    models = [
        {case.id: Generation(case.id, "", "stop", 1, (-1.0,), {"end": give(case)}) for case in rows}
        for give in (tuned, lambda case: 0.5)
    ]
    return block(score(rows, Both(*models, 200, 1)))


def right(case: Case) -> float:
    return 0.8 if case.labels["end_of_turn"] == "yes" else 0.1


def test_a_perfect_detector_against_a_base_that_knows_nothing() -> None:
    found = scored(cases("val", 200) + cases("test", 50), right)
    test = {name: parts["all"] for name, parts in found["test"].items()}
    wanted = {"roc_auc": 1, "pr_auc": 1, "tpr": 1, "tnr": 1, "fpr": 0, "f1": 1, "interruption": 0, "missed_turn": 0}
    assert {name: test[name]["tuned"]["value"] for name in wanted} == wanted
    assert (test["roc_auc"]["base"]["value"], test["fpr"]["base"]["value"]) == (0.5, 1.0)
    assert test["ece"]["tuned"]["value"] == pytest.approx(0.15)
    threshold = found["val"]["threshold"]["en"]
    assert threshold["tuned"] == {"value": 0.8, "low": None, "high": None} and (
        threshold["n"],
        threshold["groups"],
    ) == (400, 5)
    assert threshold["difference"]["value"] == pytest.approx(0.3) and "not measured" in threshold["no_interval"]
    assert found["curves"][0]["series"]["tuned"] == [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
    assert test["tpr"]["n"] == 50
    assert found["test"]["tpr"]["answers of at most 2 words"]["n"] == 5


def test_the_threshold_comes_from_val_and_not_from_test() -> None:
    found = scored(cases("val", 200) + cases("test", 50), lambda case: right(case) - (case.split == "test") * 0.01)
    assert found["val"]["threshold"]["en"]["tuned"]["value"] == 0.8
    assert found["test"]["tpr"]["all"]["tuned"]["value"] == 0
    assert found["test"]["roc_auc"]["all"]["tuned"]["value"] == 1


def test_a_conversation_counts_as_interrupted_by_one_mistake() -> None:
    def once(case: Case) -> float:
        return 0.9 if case.id == "en-test-3-no#0" else right(case)

    found = scored(cases("val", 200) + cases("test", 50), once)
    assert found["test"]["interruption"]["all"]["tuned"]["value"] == 0.2
    assert found["test"]["fpr"]["all"]["tuned"]["value"] == 0.02


def test_a_language_with_few_unfinished_turns_takes_the_threshold_of_all_and_says_so() -> None:
    rows = cases("val", 200) + cases("val", 20, language="bn") + cases("test", 20) + cases("test", 20, language="bn")
    found = scored(rows, right)["val"]["threshold"]
    assert "about" not in found["en"]
    assert found["bn"]["about"] == "of all languages: bn has 20 unfinished turns in val, fewer than 200"
    assert found["bn"]["tuned"]["value"] == found["all"]["tuned"]["value"]


@pytest.mark.parametrize("kind", ["yes", "no"])
def test_turns_of_one_kind_are_not_scored_and_the_reason_is_given(kind: str) -> None:
    found = scored(cases("val", 20, kinds=[kind]) + cases("test", 20, kinds=[kind]), right)["test"]
    assert found["roc_auc"]["all"]["not_scored"] == f"all cases are {'positive' if kind == 'yes' else 'negative'}"
    assert found["tpr"]["all"]["not_scored"] == "no threshold: the turns of val are all of one kind, ended or not"


def test_a_raw_case_is_asked_again_without_punctuation_and_flips_are_counted() -> None:
    labels = {"end_of_turn": "yes", "language": "en", "text": "raw"}
    raw = [
        case
        for number in range(4)
        for case in make(Conversation(f"r{number}", (Turn("user", "On Monday."),), labels=labels), "test")
    ]
    assert [(case.id, case.reference.text) for case in raw[:2]] == [("r0#0", "On Monday."), ("r0#0@plain", "on monday")]
    rows = cases("val", 200) + raw

    def by_punctuation(case: Case) -> float:
        return 0.0 if case.id == "r2#0@plain" else right(case)

    assert scored(rows, by_punctuation)["test"]["punctuation_flip"]["all"]["tuned"]["value"] == 0.25


def test_thresholds_by_hand() -> None:
    probability, ended = np.array([0.9, 0.8, 0.7, 0.2, 0.75]), np.array([True, True, True, True, False])
    assert at_tpr(probability, ended) == 0.2
    assert at_best_f1(probability, ended) == 0.2  # F1 8/9, against 6/7 at 0.7
    many = np.linspace(0, 1, 1001)
    assert at_tpr(many, np.ones(1001, bool)) == pytest.approx(0.007)  # 994 of 1001 are 0.99301 of them
