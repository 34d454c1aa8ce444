"""Pairs of answers and planted controls, on judges whose faults are known."""

import re
from pathlib import Path

import pytest

from parley.judging.controls import CONTROLS
from stages import judge
from tests.judged import biased_judge, eval_files, good_judge, judge_cases, result, settings, verdicts
from tests.loopback import JudgeServer, blocked, reply

ANOTHER, GARBLED, TOLD, PADDED = CONTROLS


pytestmark = pytest.mark.usefixtures("judge_key")


def check(root: Path) -> dict[tuple[str, str], float]:
    return {(row["metric"], row["control"]): row["value"] for row in result(root)["check"]}


def test_a_good_judge_passes_every_control(tmp_path: Path) -> None:
    metrics = ["correctness", "coherence"]
    judge_cases(tmp_path, 6, otherwise=good_judge, metrics=metrics, pairwise=True, controls=6, max_calls=300)
    found = check(tmp_path)
    assert set(found) == {(m, c) for m in (*metrics, "pairwise") for c in (*CONTROLS, "all")}
    assert set(found.values()) == {1.0}
    row = next(row for row in result(tmp_path)["check"] if row["control"] == ANOTHER)
    assert (row["n"], row["unscored"]) == (6, 0)
    assert 0.5 < row["low"] < 0.7 and row["high"] == 1.0  # six times right is no proof of always


def test_a_biased_judge_is_caught(tmp_path: Path) -> None:
    judge_cases(tmp_path, 6, otherwise=biased_judge, pairwise=True, controls=6, max_calls=300)
    found = check(tmp_path)
    assert (found["coherence", TOLD], found["coherence", PADDED]) == (0.0, 0.0)
    assert (found["pairwise", TOLD], found["pairwise", PADDED]) == (0.0, 0.0)
    assert found["coherence", "all"] <= 0.5
    assert result(tmp_path)["metrics"]["pairwise"]["also"]["first place preferred"]["value"] == 1.0


def test_a_control_without_a_verdict_counts_as_nothing(tmp_path: Path) -> None:
    judge_cases(
        tmp_path, 4, otherwise=lambda prompt: blocked() if "thoroughly" in prompt else good_judge(prompt), controls=4
    )
    padded = next(row for row in result(tmp_path)["check"] if row["control"] == PADDED)
    assert (padded["value"], padded["n"], padded["unscored"]) == (None, 0, 4)
    all_of_them = next(row for row in result(tmp_path)["check"] if row["control"] == "all")
    assert (all_of_them["value"], all_of_them["n"], all_of_them["unscored"]) == (1.0, 12, 4)


def test_controls_are_paid_once_for_every_experiment(tmp_path: Path) -> None:
    eval_files(tmp_path, 4)
    with JudgeServer(otherwise=good_judge) as server:
        settings(tmp_path, server, pairwise=True, controls=4, max_calls=300)
        judge.main(tmp_path)
        assert len(server.requests) == 4 * (2 + 2) + 4 * (5 + 8)
        eval_files(tmp_path, 4, texts={"tuned": "it was 2"})
        judge.main(tmp_path)
        assert len(server.requests) == 4 * (2 + 2) + 4 * (5 + 8) + 4 * (1 + 2)


@pytest.mark.parametrize(
    ("tuned", "base", "rate", "agree", "first"),
    [
        ("it is 1", "no", 0.625, 1.0, 0.5),  # right once in four, else neither is
        ("no", "it is 1", 0.375, 1.0, 0.5),
        ("same", "same", 0.5, 1.0, 0.5),
    ],
)
def test_the_better_answer_wins_whichever_comes_first(
    tmp_path: Path, tuned: str, base: str, rate: float, agree: float, first: float
) -> None:
    server = judge_cases(tmp_path, 4, texts={"tuned": tuned, "base": base}, otherwise=good_judge, pairwise=True)
    pairs = [request for request in server.requests if request["prompt"].startswith("Two answers")]
    assert len(pairs) == (0 if tuned == base else 8)
    assert not [r for r in pairs if re.search(r"\btuned\b|\bbase\b|c\d#1", r["prompt"])]
    entry = result(tmp_path)["metrics"]["pairwise"]
    assert entry["tuned"]["value"] == rate
    assert entry["base"]["value"] == pytest.approx(1 - rate)
    assert entry["difference"]["value"] == pytest.approx(2 * rate - 1)
    assert entry["base"]["low"] == pytest.approx(1 - entry["tuned"]["high"])
    assert entry["difference"]["low"] == pytest.approx(2 * entry["tuned"]["low"] - 1)
    assert entry["also"]["both orders agree"]["value"] == agree
    assert entry["also"]["first place preferred"]["value"] == first
    rows = [row for row in verdicts(tmp_path) if row["metric"] == "pairwise"]
    assert [row["model"] for row in rows] == ["tuned"] * 4
    assert sum(row["score"] for row in rows) / 4 == rate


def test_a_judge_that_always_prefers_the_first_place_makes_only_ties(tmp_path: Path) -> None:
    first = reply('{"reason": "First.", "better": "first"}')
    judge_cases(tmp_path, 5, otherwise=lambda prompt: first, pairwise=True)
    entry = result(tmp_path)["metrics"]["pairwise"]
    assert entry["tuned"]["value"] == 0.5
    assert entry["difference"]["low"] < 0 < entry["difference"]["high"]
    assert entry["also"]["both orders agree"]["value"] == 0.0
    assert entry["also"]["first place preferred"]["value"] == 1.0
    assert entry["also"]["ties"]["value"] == 1.0


def test_a_word_that_is_no_choice_is_unscored(tmp_path: Path) -> None:
    third = reply('{"reason": "Hm.", "better": "third"}')
    judge_cases(tmp_path, 2, otherwise=lambda prompt: third, pairwise=True)
    assert result(tmp_path)["metrics"]["pairwise"]["not_scored"] == "bad_json (2)"
