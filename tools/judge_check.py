"""make judge-check: is the judge any good? Answers known to be good or bad, and people's own scores, against its.

The controls are those of `judge.controls` (N=50 for more of them); what was answered once is not paid for again.
People's scores are in data/labels.jsonl, which `make label` writes.
"""

import sys
from pathlib import Path

from rich.console import Console

from parley.errors import ParleyError
from parley.evaluation import cases_of
from parley.judging.clients import judge_or_stop
from parley.judging.controls import accuracy
from parley.judging.questions import answer
from parley.params import read_section, read_value
from parley.reporting.wording import interval, number
from stages.judge import RESAMPLES, Settings, planted
from tools import table, told
from tools.label import LABELS, agreement

LEAST = 10  # cases to check on, where judge.controls asks for none


def judge_check(root: Path, console: Console, *, count: int = 0) -> None:
    """Prints how often the judge is right, and how far it agrees with people; raises ParleyError without a judge."""
    params = read_section(root, "judge", Settings)
    seed = read_value(root, "seed", int)
    asker = judge_or_stop(root, params)
    cases = [case for case in cases_of(root / "data/eval/cases.jsonl") if case.split == "test"]
    made = planted(params, asker, cases, count or params.controls or LEAST)
    if not made:
        raise ParleyError("data/eval/cases.jsonl: controls need test cases of two conversation groups at least")
    questions = [question for trial in made for question in trial.questions]
    sent = f"{len({trial.group for trial in made})} conversation groups' controls"
    verdicts = answer(questions, asker, name="judge-check", sent=sent)
    asker.close()
    words = ("metric", "what must hold")
    shown = table((*words, "right", "95 %", "n", "no verdict"), left=words)
    for row in accuracy(made, verdicts, resamples=RESAMPLES, seed=seed):
        right = "not scored" if row["value"] is None else number(row["value"])
        style = "bold" if row["control"] == "all" else ""
        counts = (str(row["n"]), str(row["unscored"]))
        shown.add_row(row["metric"], row["control"], right, interval(row), *counts, style=style)
    console.print(shown)
    labelled = (root / LABELS).is_file()
    for line in agreement(root, seed) if labelled else [f"{LABELS} is not there: `make label` asks you"]:
        console.print(line, soft_wrap=True)


if __name__ == "__main__":
    with told("judge-check"):
        if sys.argv[1:] and not sys.argv[1].isdecimal():
            raise ParleyError(f"N: found {sys.argv[1]!r}, expected a number of cases, such as 50")
        judge_check(Path(), Console(), count=int(sys.argv[1]) if sys.argv[1:] else 0)
