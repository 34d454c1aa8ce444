"""make compare: experiments side by side, on the same test cases: metrics/compare.html, and a table here.

    python -m tools.compare [--by METRIC] [--judge] [experiment, branch, tag, commit or `workspace` …]

The first one is what the others are held against; without names it is the workspace, against HEAD's experiments.
Ranked on the validation split, since choosing by the test split would spoil its numbers.
"""

import argparse
import csv
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parley.errors import ParleyError, near_misses
from parley.evaluation import Score, Unscored, cases_of, generations_for
from parley.files import publish, sha256_file
from parley.plugins import plugin, plugin_names
from parley.progress import tracked
from parley.reporting import curves
from parley.reporting.wording import Entry, interval, number, verdict
from parley.scoring.both import Answers, Both
from parley.scoring.scorecard import block, lines
from parley.scoring.significance import holm
from parley.scoring.statistics import Pair, compare
from stages.report import page, shown_setting
from tools import judge_experiments
from tools.experiments import Experiment, read_experiments
from tools.judge_plan import PRICES, cost
from tools.timing import Record, records, since, stage_names

MADE_OF = ("seed", "ingest.", "convert.", "redact.", "transforms.", "validate.")  # settings that test cases come from
POINTS = 60  # of a loss curve; each is a mean, so that several curves can be told apart
OTHER_TOKENS = "counted in other tokens"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What page and table show; every sequence is in the order of the experiments, whose first is the baseline."""

    experiments: Sequence[Experiment]
    entries: Mapping[tuple[str, str], Sequence[Entry]]  # (split, metric) -> `tuned` an experiment, `base` the baseline
    by: str  # metric of the ranking
    ranking: Sequence[int]  # places of the experiments, the best on val first
    settings: Mapping[str, Sequence[str]]  # those that differ
    times: Sequence[Mapping[str, Record]]
    looks: int  # runs that have looked at this test split


def compared(root: Path, experiments: Sequence[Experiment], by: str) -> Comparison:
    """Everything there is to say; raises ParleyError where the test cases differ."""
    settings = differing(experiments)
    cases = same_cases(experiments, settings)
    entries = dict(paired(experiments)) | dict(recipes_own(experiments))
    names = [metric for split, metric in entries if split == "val"]
    headline = experiments[0].metrics("scores")["recipe"].get("headline")
    by = by or (headline if headline in names else names[0])
    if by not in names:
        raise ParleyError(f"no experiment has metric {by!r} on the validation split{near_misses(by, names)}")
    if entries["val", by][0]["higher_is_better"] is None:
        raise ParleyError(f"{by} has no better direction to rank by: name one of {', '.join(names)}")
    scored = Counter(record.get("cases") for record in since(root, "") if record["stage"] == "score")
    return Comparison(
        experiments,
        entries,
        by,
        sorted(range(len(experiments)), key=lambda place: rank(entries["val", by][place])),
        settings,
        [records(root, (one.root / "params.yaml").read_bytes()) for one in experiments],
        max(scored[cases], len(experiments)),
    )


def rank(entry: Entry) -> float:
    """The smaller the better; what has no score is last."""
    if "not_scored" in entry:
        return float("inf")
    value = float(entry["tuned"]["value"])
    return -value if entry["higher_is_better"] else value


def differing(experiments: Sequence[Experiment]) -> dict[str, list[str]]:
    """The settings whose values differ, each as one line a experiment; "–" where one has no such key."""
    params = [one.params for one in experiments]
    keys = list(dict.fromkeys(key for one in params for key in one))
    said = {
        key: [
            "–" if key not in one else one[key] if isinstance(one[key], str) else json.dumps(one[key]) for one in params
        ]
        for key in keys
    }
    different = {key: values for key, values in said.items() if len(set(values)) > 1}
    return {key: [shown_setting(key, value) for value in values] for key, values in different.items()}


def same_cases(experiments: Sequence[Experiment], settings: Mapping[str, Sequence[str]]) -> str:
    """The sha256 of the one set of test cases; raises ParleyError where there are several."""
    found = [sha256_file(one.root / "data/eval/cases.jsonl") for one in experiments]
    if len(set(found)) == 1:
        return found[0]
    kinds = {sha: [one.name for one, own in zip(experiments, found, strict=True) if own == sha] for sha in found}
    sets = "; ".join(f"{', '.join(names)} on {sha[:8]}" for sha, names in kinds.items())
    causes = [key for key in settings if key.startswith(MADE_OF)]
    raise ParleyError(
        f"the test cases differ ({sets}), so no score here can be held against another; compare experiments of one "
        f"test set. Settings that differ and could be why: {', '.join(causes) or 'none, so the data or the code'}"
    )


def paired(experiments: Sequence[Experiment]) -> Iterator[tuple[tuple[str, str], list[Entry]]]:
    """Each metric that all have, on val and on test: every experiment against the baseline, case by case."""
    groups = experiments[0].groups()
    scores = [one.scores() for one in experiments]
    params = experiments[0].params
    judges = {json.dumps(one.metrics("judge")["judge"], sort_keys=True) for one in experiments}
    described = [(split, experiments[0].metrics("scores")[split]) for split in ("val", "test")]
    described += [("test", experiments[0].metrics("judge")["metrics"])] if len(judges) == 1 else []
    for split, metrics in described:
        for name in sorted(metrics, key=lambda name: order_of(name, params)):
            if not all((split, name) in one for one in scores):
                continue
            shown = plugin("metrics", name, key="score.metrics") if name in plugin_names("metrics") else None
            sides = [one[split, name] for one in scores]
            found = [
                compare(
                    pairs_of(side, sides[0], groups, metrics[name]["unit"]),
                    unit=metrics[name]["unit"],
                    higher_is_better=metrics[name]["higher_is_better"],
                    resamples=params["score.resamples"],
                    seed=params["seed"],
                    shown=getattr(shown, "shown", None),
                    shown_unit=getattr(shown, "SHOWN_UNIT", ""),
                )
                for side in sides
            ]
            yield (split, name), with_holm(found)


def recipes_own(experiments: Sequence[Experiment]) -> Iterator[tuple[tuple[str, str], list[Entry]]]:
    """The scorecard's figures of whole splits: every experiment's answers against the baseline's, case by case."""
    params = experiments[0].params
    name = params.get("score.scorecard", "none")
    if name == "none" or any(one.params.get("score.scorecard") != name for one in experiments):
        return
    cases = list(cases_of(experiments[0].root / "data/eval/cases.jsonl"))
    answers = [generations_for(one.root / "data/eval/tuned.jsonl", cases) for one in experiments]
    score = plugin("scorecards", name, key="score.scorecard").score
    blocks = [
        block(score(cases, Both(own, answers[0], params["score.resamples"], params["seed"])))
        for own in tracked(answers, "compare", len(answers), "experiments")
    ]
    for split in ("val", "test"):
        found = [lines(one, split, sliced=False) for one in blocks]
        for figure, first in found[0].items():
            entries = [one[figure] for one in found]
            if first["unit"] == "nats/token":
                said = {key: first[key] for key in ("unit", "higher_is_better", "n", "groups", "unscored")}
                entries = [
                    entry if tokens(own) == tokens(answers[0]) else {**said, "not_scored": OTHER_TOKENS}
                    for entry, own in zip(entries, answers, strict=True)
                ]
            yield (split, figure), with_holm(entries)


def tokens(answers: Answers) -> dict[str, int]:
    """Case id -> tokens of its reference, as the model's tokenizer counts."""
    return {id: len(one.reference_logprobs) for id, one in answers.items()}


def with_holm(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, each p of a difference from the first also adjusted for their number."""
    adjusted = holm({str(at): one["p"] for at, one in enumerate(entries) if at and one.get("p") is not None})
    return [{**one, **({"p_holm": adjusted[str(at)]} if str(at) in adjusted else {})} for at, one in enumerate(entries)]


def order_of(name: str, params: Mapping[str, Any]) -> tuple[int, str]:
    names = [*params["score.metrics"], *params["judge.metrics"]]
    return (names.index(name) if name in names else len(names), name)


def pairs_of(
    ours: Mapping[str, Score | Unscored], theirs: Mapping[str, Score | Unscored], groups: Mapping[str, str], unit: str
) -> list[Pair]:
    """The pairs of two experiments. Surprise a token is no pair where the tokens are others, as of another base."""

    def comparable(one: Score | Unscored, other: Score | Unscored) -> Score | Unscored:
        if isinstance(one, Score) and isinstance(other, Score) and unit == "nats/token" and one.weight != other.weight:
            return Unscored(OTHER_TOKENS)
        return one

    return [Pair(groups[id], comparable(ours[id], theirs[id]), theirs[id]) for id in ours]


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    value = f"val {found.by}\n{found.entries['val', found.by][0]['unit']}"
    for name in ("", "experiment", value, "against first, 95 %", "better?", "test", "seconds"):
        table.add_column(name, justify="right" if name in ("test", "seconds", value) else "left")
    for position, place in enumerate(found.ranking, 1):
        name = found.experiments[place].name
        seconds = sum(record["seconds"] for record in found.times[place].values())
        val, test = (found.entries[split, found.by][place] for split in ("val", "test"))
        gap = "–" if "not_scored" in val else f"{number(val['difference']['value'])} {interval(val['difference'])}"
        said = "the first" if place == 0 else verdict(val)
        values = ["not scored" if "not_scored" in one else number(one["tuned"]["value"]) for one in (val, test)]
        cells = [str(position), name, values[0], "" if place == 0 else gap, said, values[1]]
        table.add_row(*map(Text, cells), number(seconds) if seconds else "cached")
    console.print(table)
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
    try:
        main(Path(), asked.names, asked.by, Console(), judge=asked.judge)
    except ParleyError as error:
        sys.exit(f"compare: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
