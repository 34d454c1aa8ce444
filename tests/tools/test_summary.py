import io
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from parley.evaluation import Score, Unscored
from parley.files import write_json
from parley.scoring.statistics import Pair, compare
from tools.summary import main

REPO = Path(__file__).parents[2]


def scored(*gains: float, unit: str = "0-1", higher_is_better: bool | None = True) -> dict[str, Any]:
    pairs = [Pair(str(number), Score(gain), Score(0.0)) for number, gain in enumerate(gains)]
    return compare(pairs, unit=unit, higher_is_better=higher_is_better, resamples=200, seed=1)


def printed(root: Path, test: dict[str, Any], judge: dict[str, Any]) -> list[str]:
    shutil.copy(REPO / "params.yaml", root)
    write_json(root / "metrics/scores.json", {"test": test, "val": {}, "recipe": {}})
    write_json(root / "metrics/judge.json", judge)
    out = io.StringIO()
    main(root, Console(file=out, width=80))
    return out.getvalue().splitlines()


def test_table_has_a_row_a_metric_and_ends_with_the_path(tmp_path: Path) -> None:
    perplexity = compare(
        [Pair(str(n), Score(1.0, 5), Score(3.0, 5)) for n in range(4)],
        unit="nats/token",
        higher_is_better=False,
        resamples=200,
        seed=1,
        shown=lambda mean: mean * 10,
        shown_unit="ppl",
    )
    test = {"chrf": scored(1.0, 2.0, 3.0), "perplexity": perplexity, "distinct_2": scored(-1.0, 1.0)}
    judge = {"status": "not_scored", "reason": "no GEMINI_API_KEY", "metrics": {}}
    lines = printed(tmp_path, test, judge)
    assert lines[1].split() == ["perplexity", "1.00", "3.00", "−2.00", "[−2.00,", "−2.00]", "yes", "4"]
    assert lines[2].split() == ["as", "ppl", "10.0", "30.0"]
    assert lines[3].split()[0] == "chrf" and lines[4].split()[-3:] == ["not", "shown", "2"]
    assert "judge: not scored: no GEMINI_API_KEY" in lines
    assert lines[-1] == (tmp_path / "metrics/report.html").as_posix()


def test_missing_score_is_a_reason_and_judged_metrics_follow(tmp_path: Path) -> None:
    missing = compare(
        [Pair("a", Unscored("no words"), Unscored("no words"))],
        unit="0-1",
        higher_is_better=True,
        resamples=200,
        seed=1,
    )
    judged = {"coherence": scored(-0.5, -0.4, -0.3)}
    lines = printed(tmp_path, {"rouge_l": missing}, {"status": "scored", "reason": "", "metrics": judged})
    assert lines[1].split() == ["rouge_l", "–", "–", "–", "–", "not", "scored", "0"]
    assert lines[2].split()[0] == "coherence" and lines[2].split()[-2:] == ["worse", "3"]
    assert "rouge_l: not scored: no words (1)" in lines


def test_default_metrics_and_the_judges_fit_80_columns_and_20_lines(tmp_path: Path) -> None:
    long = scored(-0.00123, 0.00345, 0.0045)
    names = ["perplexity", "chrf", "rouge_l", "exact_match", "distinct_2", "length_ratio", "empty_rate"]
    test = dict.fromkeys([*names, "truncated_rate"], long)
    test["perplexity"] = {**long, "shown": {"unit": "ppl", "tuned": {"value": 1.5}, "base": {"value": 1e6}}}
    judge = {"status": "scored", "metrics": {"correctness": long, "coherence": long}}
    lines = printed(tmp_path, test, judge)
    assert len(lines) <= 20
    assert all(len(line) <= 80 for line in lines[:-1])
    assert sum("not shown" in line for line in lines) == 10
