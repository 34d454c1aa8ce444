"""The end of `make repro`: what ran and how long it took, the scores in a table, and last where the report is.

run   python -m tools.summary [when it began, in UTC, such as 2026-11-20T16:02:00Z]
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parley.files import read_json
from parley.params import read_yaml
from parley.reporting.wording import Entry, headline, interval, number, ordered, verdict
from parley.scoring.scorecard import ALL
from tools import told
from tools.timing import since, stage_names, stage_of

# What stands in the column "better?", short enough for 80 columns, and its style.
BETTER = {
    "better": ("yes", "green"),
    "worse": ("worse", "red"),
    "different": ("differs", ""),
    "no difference shown": ("not shown", ""),
    "no interval": ("no interval", ""),
    "not scored": ("not scored", "yellow"),
}


def main(root: Path, console: Console, began: str = "") -> None:
    """Prints what ran since `began`, the scores of the test split, the judge's or why not, and the report's path."""
    if began:
        for line in ran(root, began):
            console.print(Text(line))
    params = read_yaml(root / "params.yaml")
    scores = read_json(root / "metrics/scores.json")
    test, recipe = scores["test"], scores["recipe"]
    judge = read_json(root / "metrics/judge.json")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")  # 80 columns wide
    table.add_column("metric", no_wrap=True)
    for name in ("tuned", "base", "difference", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("better?", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    own = {name: recipe["test"][name][ALL] for name in recipe.get("order", []) if ALL in recipe["test"].get(name, {})}
    shown = {**ordered(test, params["score"]["metrics"]), **own}
    shown |= ordered(judge["metrics"], params["judge"]["metrics"])
    for row in rows(shown):
        table.add_row(*row)
    console.print(table)
    for name, entry in shown.items():
        if "not_scored" in entry:
            console.print(Text(f"{name}: not scored: {entry['not_scored']}"))
    if judge["status"] != "scored":
        console.print(Text(f"judge: not scored: {judge['reason']}"))
    console.print(Text(headline(test, recipe).title, style="bold"))
    console.print(Text((root / "metrics/report.html").as_posix()), soft_wrap=True)


def ran(root: Path, began: str) -> Iterator[str]:
    """What ran since then and its seconds, and what did not have to, since DVC had its outputs."""
    records = {stage_of(record): record["seconds"] for record in since(root, began)}
    names = stage_names(root)
    seconds = [f"{name} {number(records[name])} s" for name in names if name in records]
    cached = [name for name in names if name not in records]
    if seconds:
        yield f"ran: {', '.join(seconds)}; {number(sum(records.values()))} s in all"
    if cached:
        yield f"unchanged or from the cache: {', '.join(cached)}"


def rows(entries: Mapping[str, Entry]) -> Iterator[list[Text]]:
    """The cells of each metric; a metric with a second unit has a second row."""
    for name, entry in entries.items():
        word, style = BETTER[verdict(entry)]
        last = [Text(word, style=style), Text(number(entry["n"]))]
        if "not_scored" in entry:
            yield [Text(name), *[Text("–")] * 4, *last]
            continue
        means = [Text(number(entry[model]["value"])) for model in ("tuned", "base")]
        gap = entry["difference"]
        yield [Text(name), *means, Text(number(gap["value"])), Text(interval(gap)), *last]
        if "shown" in entry:
            shown = [Text(number(entry["shown"][model]["value"])) for model in ("tuned", "base")]
            yield [Text(f"  as {entry['shown']['unit']}"), *shown, *[Text("")] * 4]


if __name__ == "__main__":
    with told("summary"):
        main(Path(), Console(), *sys.argv[1:2])
