import json
import subprocess
import sys
from pathlib import Path

import pytest

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.evaluation import Case, Generation
from parley.jsonl import rows_of
from stages.score import main
from tests.evaluated import lay_answers

REPO = Path(__file__).parents[2]
PARAMS = """seed: 42
score:
  metrics: [perplexity, chrf, empty_rate, distinct_2]
  scorecard: none
  resamples: 300
"""


def lay(root: Path, cases: list[Case], tuned: list[Generation], base: list[Generation], params: str = PARAMS) -> None:
    (root / "params.yaml").write_text(params, encoding="utf-8")
    lay_answers(root, cases, tuned=tuned, base=base)


def case(number: int, *, split: str = "test") -> Case:
    context = Conversation(f"c{number}", (Turn("user", "a private question"),), group=f"g{number}")
    return Case(f"c{number}#1", split, context, Turn("assistant", "a private reference"))


def answer(number: int, *logprobs: float, text: str = "a private answer") -> Generation:
    return Generation(f"c{number}#1", text, "stop", 3, logprobs)


def walk(root: Path) -> None:
    cases = [case(0), case(1), case(2), case(3, split="val")]
    tuned = [answer(n, -1.0, -1.0, text="a private reference" if n == 0 else "") for n in range(4)]
    base = [answer(n, -4.0, -2.0 - n) for n in range(4)]
    lay(root, cases, tuned, base)


def test_scores_have_n_interval_and_control(tmp_path: Path) -> None:
    walk(tmp_path)
    main(tmp_path)
    scores = json.loads((tmp_path / "metrics/scores.json").read_text())
    assert scores["schema"] == 1 and scores["recipe"] == {}
    test = scores["test"]["perplexity"]
    assert (test["n"], test["groups"], test["unit"], test["higher_is_better"]) == (3, 3, "nats/token", False)
    assert test["tuned"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert test["base"]["value"] == 3.5  # (6 + 7 + 8) / 6
    assert test["difference"]["value"] == -2.5
    assert test["difference"]["low"] < -2.5 < test["difference"]["high"] < 0
    assert test["shown"]["base"]["value"] == pytest.approx(33.11545196)
    assert scores["test"]["empty_rate"]["tuned"]["value"] == pytest.approx(2 / 3)
    assert scores["test"]["distinct_2"]["unscored"] == {"tuned: answer has fewer than two words": 2}
    assert scores["val"]["perplexity"]["n"] == 1
    assert scores["val"]["perplexity"]["tuned"]["low"] is None


def test_metrics_of_the_answer_leave_out_cases_that_ask_for_none(tmp_path: Path) -> None:
    turn = Case("c1#0", "test", Conversation("c1", ()), Turn("user", "a private turn"), {"end_of_turn": "no"})
    seen = Generation("c1#0", "", "none", 0, (-1.0,), {"end": 0.5})
    lay(tmp_path, [turn], [seen], [seen], PARAMS.replace("chrf", "chrf, end_loss"))
    main(tmp_path)
    found = json.loads((tmp_path / "metrics/scores.json").read_text())["test"]
    assert found["empty_rate"]["not_scored"] == found["chrf"]["not_scored"] == "the case asks for no answer (1)"
    assert found["perplexity"]["n"] == found["end_loss"]["n"] == 1


def test_scorecard_stands_under_recipe(tmp_path: Path) -> None:
    walk(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS.replace("scorecard: none", "scorecard: agent"), encoding="utf-8")
    main(tmp_path)
    recipe = json.loads((tmp_path / "metrics/scores.json").read_text())["recipe"]
    assert recipe["order"][:2] == ["json_valid", "schema_valid"]
    assert recipe["test"]["json_valid"]["all"]["not_scored"] == "nothing to count (3)"
    (tmp_path / "params.yaml").write_text(PARAMS.replace("scorecard: none", "scorecard: agnet"), encoding="utf-8")
    with pytest.raises(ParleyError, match=r"score.scorecard: no 'agnet' in parley/scorecards/; did you mean 'agent'"):
        main(tmp_path)


def test_metric_without_a_scored_case_is_not_scored(tmp_path: Path) -> None:
    lay(tmp_path, [case(0), case(1)], [answer(0), answer(1)], [answer(0), answer(1)])
    main(tmp_path)
    scores = json.loads((tmp_path / "metrics/scores.json").read_text())
    assert scores["test"]["perplexity"]["value"] is None
    assert scores["test"]["perplexity"]["not_scored"] == "no log-probabilities of the reference (2)"
    assert scores["val"]["chrf"]["not_scored"] == "no case in this split"


def test_every_case_and_metric_has_its_row(tmp_path: Path) -> None:
    walk(tmp_path)
    main(tmp_path)
    rows = [row for _, row in rows_of(tmp_path / "data/eval/scores.jsonl")]
    assert len(rows) == 4 * 4
    assert rows[0] == {
        "schema": 1,
        "id": "c0#1",
        "group": "g0",
        "split": "test",
        "metric": "perplexity",
        "tuned": {"value": 1.0, "weight": 2},
        "base": {"value": 3.0, "weight": 2},
    }
    looped = next(row for row in rows if row["metric"] == "distinct_2" and row["id"] == "c1#1")
    assert looped["tuned"] == {"unscored": "answer has fewer than two words"}


def test_rerun_gives_the_same_bytes_without_a_turns_text(tmp_path: Path) -> None:
    walk(tmp_path)
    outputs = [tmp_path / "metrics/scores.json", tmp_path / "data/eval/scores.jsonl"]
    main(tmp_path)
    first = [path.read_bytes() for path in outputs]
    main(tmp_path)
    assert [path.read_bytes() for path in outputs] == first
    assert not any(b"private" in content for content in first)


def test_number_that_is_not_finite_is_unscored(tmp_path: Path) -> None:
    lay(tmp_path, [case(0), case(1)], [answer(0, -1.0), answer(1, -1.0)], [answer(0, -1.0), answer(1, -1e308, -1e308)])
    main(tmp_path)
    scores = json.loads((tmp_path / "metrics/scores.json").read_text())
    assert scores["test"]["perplexity"]["unscored"] == {"base: score is not finite": 1}
    assert scores["test"]["perplexity"]["n"] == 1


def test_missing_generation_stops_the_stage(tmp_path: Path) -> None:
    lay(tmp_path, [case(0), case(1)], [answer(0, -1.0)], [answer(0, -1.0), answer(1, -1.0)])
    with pytest.raises(ParleyError, match=r"tuned.jsonl: 1 of 2 cases have no generation .*'c1#1'"):
        main(tmp_path)
    assert not (tmp_path / "metrics/scores.json").exists()
    assert not (tmp_path / "data/eval/scores.jsonl").exists()


def test_generation_of_another_run_stops_the_stage(tmp_path: Path) -> None:
    lay(tmp_path, [case(0)], [answer(0, -1.0)], [answer(0, -1.0), answer(7, -1.0)])
    with pytest.raises(ParleyError, match=r"base.jsonl: 0 of 1 .* 1 generations no case .*'c7#1'"):
        main(tmp_path)


def test_unknown_metric_names_the_near_miss(tmp_path: Path) -> None:
    lay(tmp_path, [case(0)], [answer(0, -1.0)], [answer(0, -1.0)], PARAMS.replace("chrf", "chfr"))
    with pytest.raises(ParleyError, match=r"score.metrics: no 'chfr' in parley/metrics/; did you mean 'chrf'"):
        main(tmp_path)


def test_score_never_imports_torch() -> None:
    code = (
        "import sys, stages.score\nfrom parley.plugins import plugin, plugin_names\n"
        "[plugin(f, n, key='') for f in ('metrics', 'scorecards') for n in plugin_names(f)]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)
