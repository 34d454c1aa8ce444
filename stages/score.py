"""score: every metric that needs no judge, for the tuned model and the base, with intervals.

in    data/eval/{cases,tuned,base}.jsonl, data/splits/train.jsonl (where a metric asks for the training text)
out   metrics/scores.json, data/eval/scores.jsonl                 docs/metrics.md says what their fields are
by    params `seed`, `score`                                      run   python -m stages.score

A row of data/eval/scores.jsonl; either side may be {"unscored": "reason"} instead:

    {"schema": 1, "id": "c42-3#5", "group": "c42", "split": "test", "metric": "chrf",
     "tuned": {"value": 31.5, "weight": 1.0}, "base": {"value": 8.25, "weight": 1.0}}
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from parley.evaluation import Case, Generation, Score, Unscored, cases_of, generations_for, made_of
from parley.files import sha256_file, write_json
from parley.jsonl import rows_into
from parley.params import Section, read_section, read_value
from parley.plugins import plugin
from parley.progress import progress
from parley.scoring.both import Both
from parley.scoring.copying import Training
from parley.scoring.scorecard import block
from parley.scoring.significance import adjusted
from parley.scoring.statistics import Pair, compare
from parley.stage import add_timing, run

SPLITS = ("val", "test")
Measure = Callable[[Case, Generation], Score | Unscored]


class Settings(Section):
    """Section `score`."""

    metrics: list[str] = Field(min_length=1)
    scorecard: str
    resamples: int = Field(ge=200, le=20000)


def main(root: Path) -> None:
    """Scores every case with every metric, then compares the two models a split."""
    params = read_section(root, "score", Settings)
    seed = read_value(root, "seed", int)
    metrics = {name: plugin("metrics", name, key="score.metrics") for name in params.metrics}
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    tuned, base = (generations_for(root / f"data/eval/{model}.jsonl", cases) for model in ("tuned", "base"))
    both = Both(tuned, base, params.resamples, seed)
    training = Training(root / "data/splits/train.jsonl")

    scores: dict[str, Any] = {split: {} for split in SPLITS}
    count = len(metrics) * len(cases)
    with rows_into(root / "data/eval/scores.jsonl") as add, progress("score", count, "scores") as bar:
        for name, metric in metrics.items():
            measure: Measure = metric.scorer(training) if hasattr(metric, "scorer") else metric.score
            needs_answer = getattr(metric, "NEEDS_ANSWER", True)
            pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
            for case in bar.over(cases):
                pair = both.pair(case, partial(scored, measure, needs_answer=needs_answer))
                pairs[case.split].append(pair)
                add(score_row(case, name, pair))
            for split in SPLITS:
                scores[split][name] = compare(
                    pairs[split],
                    unit=metric.UNIT,
                    higher_is_better=metric.HIGHER_IS_BETTER,
                    shown=getattr(metric, "shown", None),
                    shown_unit=getattr(metric, "SHOWN_UNIT", ""),
                    **both.sampling,
                )
    scores = {split: adjusted(scores[split]) for split in SPLITS}
    recipe = {}
    if params.scorecard != "none":
        card = plugin("scorecards", params.scorecard, key="score.scorecard")
        recipe = block(card.score(cases, both))
    write_json(root / "metrics/scores.json", {**scores, "recipe": recipe, "made_of": made_of(root / "data/eval")})
    add_timing(cases=sha256_file(root / "data/eval/cases.jsonl"))  # `make compare` counts the looks at a test split


def scored(measure: Measure, case: Case, generation: Generation, *, needs_answer: bool) -> Score | Unscored:
    """The metric's score; where there is no answer, or a value is no number, it is unscored: no part of a mean."""
    if needs_answer and not case.asks:
        return Unscored("the case asks for no answer")
    found = measure(case, generation)
    if isinstance(found, Score) and not math.isfinite(found.value):
        return Unscored("score is not finite")
    return found


def score_row(case: Case, name: str, pair: Pair) -> dict[str, Any]:
    """The row of data/eval/scores.jsonl, which later comparisons of experiments pair up."""
    row: dict[str, Any] = {"id": case.id, "group": pair.group, "split": case.split, "metric": name}
    for model, found in (("tuned", pair.tuned), ("base", pair.base)):
        if isinstance(found, Score):
            row[model] = {"value": found.value, "weight": found.weight}
        else:
            row[model] = {"unscored": found.reason}
    return row


if __name__ == "__main__":
    run("score", main)
