"""judge: a judge model's verdict on every test case, for the tuned model and the base.

in    data/eval/{cases,tuned,base}.jsonl     out   metrics/judge.json, data/eval/verdicts.jsonl
by    params `seed`, `judge`                 run   python -m stages.judge

A row of data/eval/verdicts.jsonl; the score is null where `status` is "unscored", and `kind` says why:

    {"schema": 1, "id": "c42-3#5", "model": "tuned", "metric": "coherence", "score": 0.8, "passed": true,
     "reason": "Answers the question.", "status": "scored", "kind": ""}

Without a key nothing is scored, and metrics/judge.json says so. Answers are kept in .judge/answers.sqlite;
what is there is never asked again, not even after a crash.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from parley.answers import FORMAT, Store
from parley.asking import Asker, NotAsked, Target, find_key
from parley.errors import ParleyError
from parley.evaluation import Case, Generation, Score, Unscored, cases_of, generations_for
from parley.files import write_json
from parley.jsonl import rows_into
from parley.params import Section, read_section, read_value
from parley.plugins import plugin
from parley.rubric import Rubric, read_rubric
from parley.stage import add_timing, run
from parley.statistics import Pair, compare

if TYPE_CHECKING:
    from parley.judging import Verdict

MODELS = ("base", "tuned")
RESAMPLES = 2000  # bootstrap resamples for each interval


class Settings(Section):
    """Section `judge`."""

    client: str
    model: str = Field(min_length=1)
    endpoint: str = Field(pattern=r"^(https?://\S+)?$")
    metrics: list[str] = Field(min_length=1)
    threshold: float = Field(ge=0, le=1)
    concurrency: int = Field(ge=1, le=64)
    timeout: int = Field(ge=1, le=600)
    retries: int = Field(ge=1, le=10)
    max_calls: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Question:
    """What one verdict is about."""

    case: Case
    model: str  # one of MODELS
    metric: str
    generation: Generation


def main(root: Path) -> None:
    """Judges every test case, or says why not."""
    params = read_section(root, "judge", Settings)
    seed = read_value(root, "seed", int)
    rubrics = {name: read_rubric(name) for name in params.metrics}
    home = Path(os.environ.get("DVC_ROOT") or root)  # experiments share the key and the answers
    if params.client == "none":
        return not_scored(root, params, "judge.client is none")
    client = plugin("judges", params.client, key="judge.client")
    key = find_key(client.KEYS, home)
    if client.KEYS and not key:
        return not_scored(root, params, f"no {client.KEYS[0]}")

    variable, secret = key or ("", "")
    target = Target(params.client, params.model, params.endpoint or client.HOST, variable)
    store = Store(home / ".judge/answers.sqlite")
    asker = Asker(target, store, retries=params.retries, max_calls=params.max_calls)
    questions = list(read_questions(root, params.metrics))
    verdicts = ask_all(questions, rubrics, asker, params, client, secret)
    store.close()
    write_verdicts(root, questions, verdicts, params.threshold)
    write_json(root / "metrics/judge.json", summary(questions, verdicts, params, seed))
    add_timing(judge_calls=asker.calls, judge_tokens_in=asker.tokens_in, judge_tokens_out=asker.tokens_out)


def not_scored(root: Path, params: Settings, reason: str) -> None:
    """The outputs of a stage that judged nothing: no rows, no numbers, the reason."""
    with rows_into(root / "data/eval/verdicts.jsonl"):
        pass
    judge = {"client": params.client, "model": params.model}
    write_json(root / "metrics/judge.json", {"status": "not_scored", "reason": reason, "judge": judge, "metrics": {}})
    print(f"judge: not scored: {reason}")


def read_questions(root: Path, metrics: Iterable[str]) -> Iterator[Question]:
    """A question for each test case, model and metric."""
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    generations = {model: generations_for(root / f"data/eval/{model}.jsonl", cases) for model in MODELS}
    for case in sorted((case for case in cases if case.split == "test"), key=lambda case: case.id):
        for model in MODELS:
            for metric in sorted(metrics):
                yield Question(case, model, metric, generations[model][case.id])


def ask_all(
    questions: list[Question],
    rubrics: Mapping[str, Rubric],
    asker: Asker,
    params: Settings,
    client: ModuleType,
    key: str,
) -> "list[Verdict]":
    """A verdict for each question: first from the kept answers alone, then by asking for what is missing."""
    from parley.judging import Judge, judged

    judge = Judge(asker)

    def verdict(index: int) -> "Verdict":
        question = questions[index]
        return judged(question.case, question.generation, question.metric, rubrics[question.metric], judge)

    verdicts: dict[int, Verdict] = {}
    missing: dict[int, str] = {}
    for index in range(len(questions)):
        try:
            verdicts[index] = verdict(index)
        except NotAsked as not_asked:
            missing[index] = not_asked.key
    if missing:
        announce(questions, missing, asker, params)
        asker.go_online(client.connect(key=key, model=params.model, endpoint=params.endpoint, timeout=params.timeout))
        verdicts |= in_threads(verdict, list(missing), asker, params.concurrency)
    return [verdicts[index] for index in range(len(questions))]


def announce(questions: list[Question], missing: Mapping[int, str], asker: Asker, params: Settings) -> None:
    """Says what will leave this machine and for where, before it does; refuses what is over the budget."""
    cases = len({questions[index].case.id for index in missing})
    calls = len(set(missing.values()))
    if calls > params.max_calls:
        raise ParleyError(
            f"params.yaml: judge.max_calls is {params.max_calls}, and {calls} calls are needed: "
            "raise it, or lower validate.max_cases; nothing was asked"
        )
    print(
        f"judge: sending {cases} test cases (redacted as `redact` in params.yaml says) in {calls} calls "
        f"to {asker.target.host}, model {params.model}; {len(questions) - len(missing)} verdicts are kept ones",
        flush=True,
    )


def in_threads(
    verdict: "Callable[[int], Verdict]", indices: list[int], asker: Asker, threads: int
) -> "dict[int, Verdict]":
    """Index -> verdict. The first error ends the run; calls under way are waited for, since they are paid for."""
    from tqdm import tqdm

    with ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(verdict, index): index for index in indices}
        try:
            done = tqdm(as_completed(futures), total=len(futures), desc="judge", unit="verdict", disable=None)
            return {futures[future]: future.result() for future in done}
        except BaseException:
            asker.stop("stopped")
            print("judge: stopping; waiting for the calls under way, to keep their answers", file=sys.stderr)
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_verdicts(root: Path, questions: list[Question], verdicts: "list[Verdict]", threshold: float) -> None:
    """data/eval/verdicts.jsonl, a row for each question."""
    with rows_into(root / "data/eval/verdicts.jsonl") as add:
        for question, verdict in zip(questions, verdicts, strict=True):
            add(
                {
                    "id": question.case.id,
                    "model": question.model,
                    "metric": question.metric,
                    "score": verdict.score,
                    "passed": None if verdict.score is None else verdict.score >= threshold,
                    "reason": verdict.reason,
                    "status": "unscored" if verdict.score is None else "scored",
                    "kind": verdict.kind,
                }
            )


def summary(questions: list[Question], verdicts: "list[Verdict]", params: Settings, seed: int) -> dict[str, Any]:
    """metrics/judge.json: each metric compared between the models, with its coverage."""
    found = {(q.metric, q.case.id, q.model): v for q, v in zip(questions, verdicts, strict=True)}
    groups = {q.case.id: q.case.context.group or q.case.context.id for q in questions}
    metrics = {}
    for metric in params.metrics:
        sides = [(groups[id], found[metric, id, "tuned"], found[metric, id, "base"]) for id in groups]
        pairs = [Pair(group, score(tuned), score(base)) for group, tuned, base in sides]
        metrics[metric] = {
            "threshold": params.threshold,
            "coverage": {
                "tuned": {"scored": sum(tuned.score is not None for _, tuned, _ in sides), "total": len(sides)},
                "base": {"scored": sum(base.score is not None for _, _, base in sides), "total": len(sides)},
            },
            **compare(pairs, unit="score 0-1", higher_is_better=True, resamples=RESAMPLES, seed=seed),
        }
        passes = [Pair(group, passed(tuned, params), passed(base, params)) for group, tuned, base in sides]
        rates = compare(passes, unit="rate", higher_is_better=True, resamples=RESAMPLES, seed=seed)
        if rates["n"]:
            metrics[metric]["pass_rate"] = {side: rates[side] for side in ("tuned", "base", "difference")}
    judge = {"client": params.client, "model": params.model, "deepeval": version("deepeval"), "format": FORMAT}
    return {"status": "scored", "judge": judge, "metrics": metrics}


def score(verdict: "Verdict") -> Score | Unscored:
    """A verdict for parley.statistics."""
    return Unscored(verdict.kind) if verdict.score is None else Score(verdict.score)


def passed(verdict: "Verdict", params: Settings) -> Score | Unscored:
    """1 where the score reaches the threshold."""
    return Unscored(verdict.kind) if verdict.score is None else Score(float(verdict.score >= params.threshold))


if __name__ == "__main__":
    run("judge", main)
