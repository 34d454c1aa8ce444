"""judge: a judge model's verdict on every test case, for the tuned model and the base.

in    data/eval/{cases,tuned,base}.jsonl     out   metrics/judge.json, data/eval/verdicts.jsonl
by    params `seed`, `judge`                 run   python -m stages.judge

A row of data/eval/verdicts.jsonl; the score is null where `status` is "unscored", and `kind` says why. The rows of
"pairwise" stand with the tuned model: 1 its answer was preferred, 0.5 a tie, 0 the base's.

    {"schema": 1, "id": "c42-3#5", "model": "tuned", "metric": "coherence", "score": 0.8, "passed": true,
     "reason": "Answers the question.", "status": "scored", "kind": "", "higher_is_better": true,
     "judge": "gemini-3.6-flash", "deepeval": "4.3.1"}

Without a key nothing is scored, and metrics/judge.json says so. Answers are kept in .judge/answers.sqlite;
what is there is never asked again, not even after a crash.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from parley.evaluation import Case, Generation, Score, Unscored, cases_of, generations_for, made_of
from parley.files import write_json
from parley.jsonl import rows_into, write_jsonl
from parley.judging.answers import FORMAT
from parley.judging.asking import Asker
from parley.judging.clients import ClientSettings, NoJudge, open_judge
from parley.judging.controls import Trial, accuracy, trials
from parley.judging.pairwise import Duel, duels_of, orders, questions_of
from parley.judging.pairwise import summary as pairwise_summary
from parley.judging.questions import Question, Verdict, answer
from parley.judging.rubric import read_judged, read_rubrics
from parley.params import read_section, read_value
from parley.scoring.significance import adjusted
from parley.scoring.statistics import Pair, compare
from parley.stage import add_timing, run

MODELS = ("base", "tuned")
RESAMPLES = 2000  # bootstrap resamples for each interval


class Settings(ClientSettings):
    """Section `judge`."""

    metrics: list[str] = Field(min_length=1)
    pairwise: bool
    controls: int = Field(ge=0, le=1000)
    threshold: float = Field(ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one row of verdicts is about."""

    case: Case
    model: str  # one of MODELS
    metric: str


@dataclass(frozen=True, slots=True)
class Docket:
    """Everything that one run asks; `questions` in the order graded, duels, trials, the latter two in pairs."""

    cases: list[Case]  # of the test split, by id
    generations: Mapping[str, Mapping[str, Generation]]  # model -> case id -> generation
    graded: list[Asked]
    trials: list[Trial]
    questions: list[Question]


def main(root: Path) -> None:
    """Judges every test case, or says why not."""
    params = read_section(root, "judge", Settings)
    seed = read_value(root, "seed", int)
    try:
        asker = open_judge(root, params)
    except NoJudge as nobody:
        return not_scored(root, params, str(nobody))
    docket = read_docket(root, params, asker)
    sent = f"{len(docket.cases)} test cases" + (f" and {params.controls} controls" if docket.trials else "")
    verdicts = answer(docket.questions, asker, name="judge", sent=sent)
    asker.close()
    graded, rest = verdicts[: len(docket.graded)], verdicts[len(docket.graded) :]
    duelled = docket.cases if params.pairwise else []
    duels = duels_of(duelled, docket.generations["tuned"], docket.generations["base"], rest)
    write_verdicts(root, docket, graded, duels, params)
    judge = {"client": params.client, "model": params.model, "deepeval": version("deepeval"), "format": FORMAT}
    metrics = summary(docket, graded, params, seed)
    if params.pairwise:
        metrics["pairwise"] = pairwise_summary(duels, resamples=RESAMPLES, seed=seed)
    metrics = adjusted(metrics)
    check = accuracy(docket.trials, rest[2 * len(duels) :], resamples=RESAMPLES, seed=seed)
    found = {"status": "scored", "judge": judge, "metrics": metrics, "check": check}
    write_json(root / "metrics/judge.json", {**found, "made_of": made_of(root / "data/eval")})
    add_timing(judge_calls=asker.calls, judge_tokens_in=asker.tokens_in, judge_tokens_out=asker.tokens_out)


def not_scored(root: Path, params: Settings, reason: str) -> None:
    """The outputs of a stage that judged nothing: no rows, no numbers, the reason."""
    write_jsonl(root / "data/eval/verdicts.jsonl", [])
    judge = {"client": params.client, "model": params.model}
    found = {"status": "not_scored", "reason": reason, "judge": judge, "metrics": {}}
    write_json(root / "metrics/judge.json", found)
    print(f"judge: not scored: {reason}")


def read_docket(root: Path, params: Settings, asker: Asker) -> Docket:
    """A question for each test case, model and metric; two for each case and pair; the controls."""
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    generations = {model: generations_for(root / f"data/eval/{model}.jsonl", cases) for model in MODELS}
    cases = sorted((case for case in cases if case.split == "test"), key=lambda case: case.id)
    grade = grader(params, asker)
    graded = [Asked(case, model, metric) for case in cases for model in MODELS for metric in sorted(params.metrics)]
    questions = [grade(of.case, generations[of.model][of.case.id].text, of.metric) for of in graded]
    if params.pairwise:
        questions += questions_of(cases, generations["tuned"], generations["base"], asker)
    made = planted(params, asker, cases, params.controls)
    questions += [question for trial in made for question in trial.questions]
    return Docket(cases, generations, graded, made, questions)


def grader(params: Settings, asker: Asker) -> Callable[[Case, str, str], Question]:
    """(case, text of an answer, metric) -> the question for its verdict."""
    metrics = {name: read_judged(name) for name in params.metrics}
    from parley.judging.verdicts import graded

    return lambda case, text, metric: partial(graded, case, text, metric, metrics[metric], asker)


def planted(params: Settings, asker: Asker, cases: Sequence[Case], count: int) -> list[Trial]:
    """The controls on `count` of the cases, by every metric with a scale and, where the stage compares, by pairs."""
    duel = partial(orders, asker=asker) if params.pairwise else None
    return trials(cases, list(read_rubrics(params.metrics)), count=count, grade=grader(params, asker), duel=duel)


def write_verdicts(
    root: Path, docket: Docket, graded: Sequence[Verdict], duels: Sequence[Duel], params: Settings
) -> None:
    """data/eval/verdicts.jsonl, a row for each verdict and each pair."""
    by = {"higher_is_better": True, "judge": params.model, "deepeval": version("deepeval")}
    pairs = [(Asked(case, "tuned", "pairwise"), duel.verdict) for case, duel in zip(docket.cases, duels, strict=False)]
    with rows_into(root / "data/eval/verdicts.jsonl") as add:
        for of, verdict in (*zip(docket.graded, graded, strict=True), *pairs):
            status = "unscored" if verdict.score is None else "scored"
            passed = None if verdict.score is None or of.metric == "pairwise" else verdict.score >= params.threshold
            who = {"id": of.case.id, "model": of.model, "metric": of.metric, "score": verdict.score, "passed": passed}
            add({**who, "reason": verdict.reason, "status": status, "kind": verdict.kind, **by})


def summary(docket: Docket, verdicts: Sequence[Verdict], params: Settings, seed: int) -> dict[str, Any]:
    """Each metric of metrics/judge.json, compared between the models, with its coverage."""
    found = {(of.metric, of.case.id, of.model): v for of, v in zip(docket.graded, verdicts, strict=True)}
    metrics = {}
    for metric in params.metrics:
        sides = {model: [found[metric, case.id, model] for case in docket.cases] for model in ("tuned", "base")}
        pairs = [
            Pair(case.group, tuned.scored, base.scored)
            for case, tuned, base in zip(docket.cases, *sides.values(), strict=True)
        ]
        metrics[metric] = {
            "threshold": params.threshold,
            "coverage": {
                model: {"scored": sum(verdict.score is not None for verdict in side), "total": len(side)}
                for model, side in sides.items()
            },
            **compare(pairs, unit="score 0-1", higher_is_better=True, resamples=RESAMPLES, seed=seed),
        }
        passes = [Pair(p.group, passed(p.tuned, params), passed(p.base, params)) for p in pairs]
        rates = compare(passes, unit="rate", higher_is_better=True, resamples=RESAMPLES, seed=seed)
        if rates["n"]:
            metrics[metric]["pass_rate"] = {side: rates[side] for side in ("tuned", "base", "difference")}
    return metrics


def passed(score: Score | Unscored, params: Settings) -> Score | Unscored:
    """1 where the score reaches the threshold."""
    return Score(float(score.value >= params.threshold)) if isinstance(score, Score) else score


if __name__ == "__main__":
    run("judge", main)
