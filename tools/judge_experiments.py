"""make compare JUDGE=1: whose answers a judge prefers, experiment against experiment, on the validation split.

Judge, budget and kept answers are those of params.yaml's `judge`; each pair of answers is asked in both orders, and
no call is paid for twice. Without a key nothing is sent, and the reason stands where the numbers would.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from parley.evaluation import cases_of, generations_for
from parley.judging.clients import NoJudge, open_judge
from parley.judging.pairwise import duels_of, questions_of, summary
from parley.judging.questions import answer, plan
from parley.params import read_section, read_value
from parley.reporting.wording import Entry, interval, number, verdict
from parley.scoring.significance import adjusted
from stages.judge import RESAMPLES, Settings
from tools import table
from tools.experiments import Experiment
from tools.judge_plan import PRICES, bill


def preferences(root: Path, experiments: Sequence[Experiment], console: Console) -> dict[str, dict[str, Any]]:
    """Name -> entry of `parley.judging.pairwise.summary`, of every experiment but the first, against which it stands.

    Prints calls, tokens and cost before anything is sent. Raises ParleyError where the judge stage would stop.
    """
    params, (first, *others) = read_section(root, "judge", Settings), experiments
    try:
        asker = open_judge(root, params)
    except NoJudge as nobody:
        return {one.name: {"value": None, "not_scored": str(nobody)} for one in others}
    every = list(cases_of(first.root / "data/eval/cases.jsonl"))
    theirs, *ours = (generations_for(one.root / "data/eval/tuned.jsonl", every) for one in experiments)
    cases = sorted((case for case in every if case.split == "val"), key=lambda case: case.id)
    asked = [questions_of(cases, own, theirs, asker) for own in ours]
    questions = [question for each in asked for question in each]
    found = plan(questions)
    for line in bill(found, asker, PRICES) if found.missing else []:
        console.print(line, soft_wrap=True)
    sent = f"{len(cases)} validation cases with the answers of {len(experiments)} experiments"
    verdicts = answer(questions, asker, name="compare", sent=sent)
    asker.close()
    seed, entries, start = read_value(root, "seed", int), {}, 0
    for one, own, each in zip(others, ours, asked, strict=True):
        duels = duels_of(cases, own, theirs, verdicts[start : start + len(each)])
        entries[one.name] = {**summary(duels, resamples=RESAMPLES, seed=seed), "judge": params.model}
        start += len(each)
    return adjusted(entries)


def print_preferences(found: Mapping[str, Entry], first: str, console: Console) -> None:
    """An experiment a row; without a judge, the one reason."""
    one = next(iter(found.values()))
    if "judge" not in one:
        console.print(Text(f"whose answers a judge prefers: not scored: {one['not_scored']}"))
        return
    words = ("experiment", f"preferred to {first}, 95 %", "better?")
    shown = table((*words, "n", "orders agree"), left=words)
    for name, entry in found.items():
        rate, agree = f"not scored: {entry.get('not_scored')}", "–"
        if verdict(entry) != "not scored":
            rate = f"{number(entry['tuned']['value'])} {interval(entry['tuned'])}"
            agree = number(entry["also"]["both orders agree"]["value"])
        shown.add_row(*map(Text, (name, rate, verdict(entry), str(entry["n"]), agree)))
    console.print(Text(f"whose answers {one['judge']} prefers on the validation split, a tie as half:"))
    console.print(shown)
