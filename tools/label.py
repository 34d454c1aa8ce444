"""make label: you score answers yourself, blind, and see how far the judge agrees with you.

data/eval/*.jsonl → data/labels.jsonl, a row as soon as you give a score; stop and go on whenever you like. You see
neither which model wrote an answer nor what the judge said. A row holds no text, and stays valid for the same answer
in any experiment:

    {"schema": 1, "case": "c42-3#5", "answer": "<sha256 of conversation and answer, 16 digits>", "metric": "coherence",
     "score": 7}
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from parley.conversation import to_chat
from parley.evaluation import Case, cases_of, generations_for, of_one_run
from parley.jsonl import rows_of, write_jsonl
from parley.judging.fencing import expected
from parley.judging.rubric import Rubric, read_rubrics
from parley.params import read_section, read_value
from parley.reporting.wording import interval, number
from parley.scoring.statistics import weighted_kappa
from stages.judge import MODELS, RESAMPLES, Settings
from tools import told

LABELS = Path("data/labels.jsonl")
ENOUGH = 50  # labelled answers of a metric below which nothing is said about agreement
AGREES = 0.6  # lower end of kappa's interval; "substantial" begins at 0.61 (Landis and Koch, 1977)


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to be scored by one metric."""

    case: Case
    text: str
    metric: str
    answer: str  # digest of conversation and answer


def label(root: Path, console: Console) -> None:
    """Asks for scores until all are given or the user stops; every one is on disk before the next is asked."""
    params, seed = read_section(root, "judge", Settings), read_value(root, "seed", int)
    rubrics = read_rubrics(params.metrics)  # what has no scale can't be scored by hand
    rows = [row for _, row in rows_of(root / LABELS)] if (root / LABELS).is_file() else []
    done = {(row["answer"], row["metric"]) for row in rows}
    items = [item for item in items_of(root, list(rubrics)) if (item.answer, item.metric) not in done]
    random.Random(seed).shuffle(items)
    console.print(f"{len(rows)} scores in {LABELS}, {len(items)} to give. 0 to 10, s to skip, q to stop.")
    for item in items:
        show(item, rubrics[item.metric], console)
        score = ask(console)
        if score == "q":
            break
        if score != "s":
            rows.append({"case": item.case.id, "answer": item.answer, "metric": item.metric, "score": int(score)})
            write_jsonl(root / LABELS, rows)
    for line in agreement(root, seed) if rows else []:
        console.print(line, soft_wrap=True)


def answers_of(root: Path) -> list[tuple[Case, dict[str, str]]]:
    """Each test case with what each model answered."""
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    made = {model: generations_for(root / f"data/eval/{model}.jsonl", cases) for model in MODELS}
    return [(case, {model: made[model][case.id].text for model in MODELS}) for case in cases if case.split == "test"]


def items_of(root: Path, metrics: Sequence[str]) -> Iterator[Item]:
    """Every answer to a test case with every metric; equal answers to one case are one."""
    for case, texts in answers_of(root):
        for text in sorted(set(texts.values())):
            for metric in metrics:
                yield Item(case, text, metric, digest(case, text))


def digest(case: Case, text: str) -> str:
    """What makes two labelled answers the same one."""
    return hashlib.sha256(json.dumps([to_chat(case.context), expected(case), text]).encode()).hexdigest()[:16]


def show(item: Item, rubric: Rubric, console: Console) -> None:
    """The conversation, the reference where the metric compares with it, the answer, and the scale."""
    console.rule(item.metric)
    for message in to_chat(item.case.context):
        console.print(Text(f"{message['role']}: {message.get('content') or ''}"))
    if "expected_output" in rubric.compares:
        console.print(Text(f"\nwhat the person wrote: {expected(item.case)}", style="dim"))
    console.print(Text(f"\nanswer: {item.text}\n", style="bold"))
    for low, high, like in rubric.anchors():
        console.print(Text(f"  {low}-{high}: {like}" if low != high else f"  {low}: {like}", style="dim"))


def ask(console: Console) -> str:
    """A score of 0 to 10 as text, "s" or "q"."""
    while True:
        try:
            given = console.input("score: ").strip().lower()
        except (EOFError, KeyboardInterrupt):
            return "q"
        if given in ("s", "q") or (given.isascii() and given.isdigit() and int(given) <= 10):
            return given
        console.print("a whole number from 0 to 10, s or q")


def agreement(root: Path, seed: int) -> Iterator[str]:
    """A line for each labelled metric: weighted kappa of the judge's scores with yours."""
    labels = [row for _, row in rows_of(root / LABELS)]
    judged = judge_scores(root)
    for metric in sorted({row["metric"] for row in labels}):
        pairs = [(row, judged.get((row["answer"], metric))) for row in labels if row["metric"] == metric]
        both = [(found[0], row["score"], found[1]) for row, found in pairs if found]
        if len(both) < ENOUGH:
            yield f"{metric}: {len(both)} answers scored by you and by the judge: too few to say ({ENOUGH} needed)"
            continue
        groups, yours, its = zip(*both, strict=True)
        kappa = weighted_kappa(yours, its, groups, resamples=RESAMPLES, seed=seed)
        if kappa["value"] is None:
            yield f"{metric}: everybody gave the same score to all {len(both)} answers: agreement can't be told"
            continue
        agrees = kappa["low"] is not None and kappa["low"] >= AGREES
        word = "agrees with you" if agrees else f"not shown to agree with you (its lower end is below {AGREES})"
        yield f"{metric}: weighted kappa {number(kappa['value'])} {interval(kappa)}, n = {len(both)}: the judge {word}"


def judge_scores(root: Path) -> dict[tuple[str, str], tuple[str, int]]:
    """(answer, metric) -> (conversation group, score of 0 to 10) of the judge's verdicts."""
    answers = {(case.id, model): (case, text) for case, texts in answers_of(root) for model, text in texts.items()}
    verdicts = [row for _, row in rows_of(root / "data/eval/verdicts.jsonl") if row["score"] is not None]
    if verdicts:  # of other answers, they would pass for verdicts on these
        of_one_run(root / "metrics/judge.json", root / "data/eval")
    found = {}
    for row in verdicts:
        case, text = answers[row["id"], row["model"]]
        found[digest(case, text), row["metric"]] = (case.group, round(10 * row["score"]))
    return found


if __name__ == "__main__":
    with told("label"):
        label(Path(), Console())
