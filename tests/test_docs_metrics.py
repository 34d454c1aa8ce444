"""docs/metrics.md against what score and judge really write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.plugins import plugin_names
from stages import judge, score
from tests.judged import KEY, by_content, eval_files, settings
from tests.loopback import JudgeServer

PAGE = (Path(__file__).parents[1] / "docs/metrics.md").read_text(encoding="utf-8")
FIELDS = set(re.findall(r"`(\w+)`", PAGE.split("## Field by field")[1]))
FREE = {"unscored", "series", "also"}  # their keys are names and reasons


def keys(value: Any) -> Iterator[str]:
    """Every key of nested JSON, but the free ones."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in FREE:
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    eval_files(tmp_path, 4)
    with JudgeServer(otherwise=by_content) as server:
        settings(tmp_path, server, metrics=["coherence"], pairwise=True, controls=2)
        with (tmp_path / "params.yaml").open("a", encoding="utf-8") as handle:
            chosen = {"metrics": ["perplexity", "chrf"], "scorecard": "persona", "resamples": 200}
            handle.write(f"score: {json.dumps(chosen)}\n")
        score.main(tmp_path)
        judge.main(tmp_path)
    return tmp_path


def test_every_field_of_the_result_files_is_on_the_page(written: Path) -> None:
    names = set(plugin_names("metrics")) | {"pairwise", "coherence"}
    scores = json.loads((written / "metrics/scores.json").read_text())
    slices = {name for split in ("test", "val") for by in scores["recipe"][split].items() for name in (by[0], *by[1])}
    judged = json.loads((written / "metrics/judge.json").read_text())
    row = json.loads((written / "data/eval/verdicts.jsonl").read_text().splitlines()[0])
    found = {*keys(scores), *keys(judged), *row} - names - slices
    assert {"p_holm", "detectable", "coverage", "check", "kind"} <= found
    assert found - FIELDS == set()


def test_every_documented_field_of_a_compared_metric_is_written(written: Path) -> None:
    entry = json.loads((written / "metrics/scores.json").read_text())["test"]["perplexity"]
    table = PAGE.split("## Field by field")[1].split("metrics/scores.json:")[0]
    promised = {
        name for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert promised - entry.keys() == {"no_interval", "not_scored", "about"}
    assert entry["tests"] == 2 and 0 < entry["p"] <= entry["p_holm"] <= 1
