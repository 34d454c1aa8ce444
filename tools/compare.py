"""make compare: experiments side by side, on the same test cases: metrics/compare.html, and a table here.

    python -m tools.compare [--by METRIC] [--judge] [experiment, branch, tag, commit or `workspace` …]

The first one is what the others are held against; without names it is the workspace, against HEAD's experiments.
Ranked on the validation split, since choosing by the test split would spoil its numbers.
"""

import argparse
import csv
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from parley.errors import ParleyError
from parley.files import publish
from parley.reporting import curves
from parley.reporting.wording import interval, number, verdict
from stages.report import page
from tools import judge_experiments, table, told
from tools.comparison import Comparison, compared
from tools.experiments import Experiment, read_experiments
from tools.judge_plan import PRICES, cost
from tools.timing import Record, stage_names

POINTS = 60  # of a loss curve; each is a mean, so that several curves can be told apart


def facts(root: Path, found: Comparison) -> dict[str, Any]:
    """What the page shows."""
    losses, held_out = {}, {}
    for one in found.experiments:
        with (one.root / "metrics/train_log.csv").open(encoding="utf-8", newline="") as handle:
            steps = [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(handle)]
        losses[one.name] = curves.thinned(steps, POINTS)
        held_out[one.name] = [(e["epoch"], e["loss"]) for e in one.metrics("train")["eval"] if e["loss"] is not None]
    return {
        "found": found,
        "names": [one.name for one in found.experiments],
        "losses": curves.chart(losses),
        "held_out": curves.chart(held_out),
        "stages": [name for name in stage_names(root) if any(name in times for times in found.times)],
        "costs": [judged(one, times) for one, times in zip(found.experiments, found.times, strict=True)],
        "lead": lead(found),
        "bases": [one.metrics("base")["name"] for one in found.experiments],
    }


def judged(one: Experiment, times: Mapping[str, Record]) -> tuple[str, str]:
    """How often the judge was asked in that run, and what that cost."""
    record = times.get("judge", {})
    if not record.get("judge_calls"):
        return "none", ""
    model = one.metrics("judge")["judge"]["model"]
    paid = cost(model, record["judge_tokens_in"], record["judge_tokens_out"], PRICES)
    return number(record["judge_calls"]), re.split(", at |:", paid.removeprefix("cost: "))[0]


def lead(found: Comparison) -> str:
    """How much better the first of the ranking is, and how sure that is: than the baseline, or than the second."""
    best = found.ranking[0]
    other = best or found.ranking[1]
    entry, names = found.entries["val", found.by][other], [one.name for one in found.experiments]
    if "not_scored" in entry:
        return f"{names[other]} is not scored: {entry['not_scored']}."
    gap, told = entry["difference"], f"on {number(entry['n'])} cases"
    word = {"better": "better than", "worse": "worse than", "different": "different from"}.get(verdict(entry))
    said = f"{word} {names[0]}" if word else f"not shown to differ from {names[0]}"
    place = "" if best else ", which comes second,"
    unit = entry["unit"]
    return f"{names[other]}{place} is {said}: a difference of {number(gap['value'])} {interval(gap)} {unit}, {told}."


def print_table(found: Comparison, console: Console) -> None:
    """The ranking, an experiment a row."""
    value = f"val {found.by}\n{found.entries['val', found.by][0]['unit']}"
    headings = ("", "experiment", value, "against first, 95 %", "better?", "test", "seconds")
    shown = table(headings, left=("", "experiment", "against first, 95 %", "better?"))
    for position, place in enumerate(found.ranking, 1):
        name = found.experiments[place].name
        seconds = sum(record["seconds"] for record in found.times[place].values())
        val, test = (found.entries[split, found.by][place] for split in ("val", "test"))
        gap = "–" if "not_scored" in val else f"{number(val['difference']['value'])} {interval(val['difference'])}"
        said = "the first" if place == 0 else verdict(val)
        values = ["not scored" if "not_scored" in one else number(one["tuned"]["value"]) for one in (val, test)]
        cells = [str(position), name, values[0], "" if place == 0 else gap, said, values[1]]
        shown.add_row(*map(Text, cells), number(seconds) if seconds else "cached")
    console.print(shown)
    for place in found.ranking:
        changes = ", ".join(f"{key}={values[place]}" for key, values in found.settings.items())
        console.print(Text(f"{found.experiments[place].name}: {changes or 'the same settings as the others'}"))
    console.print(looks_said(found), highlight=False)


def looks_said(found: Comparison) -> str:
    """A warning of the reader's own tries."""
    return (
        f"{found.looks} runs have looked at this test split. Choose by val; each further look makes the best test "
        "number look better than it is."
    )


def main(root: Path, names: Sequence[str], by: str, console: Console, *, judge: bool = False) -> None:
    """Writes the page and prints the table; `judge` asks whose answers are preferred."""
    with tempfile.TemporaryDirectory() as scratch:
        experiments = read_experiments(root, names, Path(scratch))
        if len(experiments) < 2:
            raise ParleyError("one run alone: `make exp ARGS='-S train.lr=1e-4'` makes another, or name two in REVS")
        found = compared(root, experiments, by)
        preferences = judge_experiments.preferences(root, experiments, console) if judge else {}
        text = page("compare.html").render(**facts(root, found), looks=looks_said(found), preferences=preferences)
    with publish(root / "metrics/compare.html") as made:
        made.write_text(text, encoding="utf-8")
    print_table(found, console)
    if preferences:
        judge_experiments.print_preferences(preferences, experiments[0].name, console)
    console.print(Text((root / "metrics/compare.html").as_posix()), soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make compare", description="Experiments side by side.")
    parser.add_argument("names", nargs="*", help="REVS: experiments or git revisions; the first is the baseline")
    parser.add_argument("--by", default="", help="BY: metric of the ranking (the first of score.metrics)")
    parser.add_argument("--judge", action="store_true", help="JUDGE=1: have the judge of params.yaml prefer answers")
    asked = parser.parse_args()
    with told("compare"):
        main(Path(), asked.names, asked.by, Console(), judge=asked.judge)
