"""report: one page that says what was trained on what, whether it got better, by how much and how sure.

in    metrics/*.json, metrics/train_log.csv, data/{splits,encoded,rejects,eval}   out   metrics/report.{html,md}
by    the whole of params.yaml but `runtime`                                      run   python -m stages.report

report.html quotes conversations and is private; report.md holds figures only. Both are the same bytes for
the same inputs: seconds and dates are in metrics/timing/.
"""

import ast
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from parley.conversation import ToolCall
from parley.evaluation import of_one_run
from parley.files import publish
from parley.params import Section, read_section, read_yaml
from parley.plugins import plugin_file, plugin_names
from parley.recipes import differences, flatten
from parley.reporting import curves, wording
from parley.reporting.data_facts import data_facts, figures, flat, one_line
from parley.reporting.side_by_side import Sample, filters, samples
from parley.scoring.scorecard import lines, matrices
from parley.stage import run

HERE = Path(__file__).parent.parent

FEW_GROUPS = 20
PERSONAL = ("convert.target", "convert.exclude_authors")  # ids of people: a page is passed on more easily than params


class Settings(Section):
    """Section `report`."""

    samples: int = Field(ge=0, le=200)


def main(root: Path) -> None:
    """Reads every figure of the walk and lays them out twice: with samples, and without."""
    params = read_section(root, "report", Settings)
    for name in ("scores", "judge"):
        of_one_run(root / f"metrics/{name}.json", root / "data/eval")
    facts = read_facts(root)
    found: list[Sample] = list(samples(root / "data/eval", params.samples))
    for name, answers in (("report.html", found), ("report.md", [])):
        text = page(name).render(**facts, answers=answers, filters=filters(answers))
        with publish(root / "metrics" / name) as made:
            made.write_text(text, encoding="utf-8")


def page(name: str) -> Any:
    """The template parley/pages/<name>.jinja. Everything put into it is escaped: names and texts are data."""
    place = plugin_file("pages", name, ".jinja", key="report")
    environment = Environment(
        loader=FileSystemLoader(place.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": wording.number, "interval": wording.interval, "cell": cell}
    environment.filters |= {"arguments": arguments, "without": without}
    environment.globals |= {
        "verdict": wording.verdict,
        "surety": wording.surety,
        "chance": wording.chance,
        "whisker": whisker,
        "about": about,
        "curves": curves,
    }
    return environment.get_template(place.name)


def read_facts(root: Path) -> dict[str, Any]:
    """Everything the two pages show but the samples."""
    metrics = root / "metrics"
    values = {name: value for name, value in read_yaml(root / "params.yaml").items() if name != "runtime"}
    scores = figures(metrics / "scores.json", "test", "val", "recipe")
    scores |= {split: wording.ordered(scores[split], values["score"]["metrics"]) for split in ("test", "val")}
    judge = {"check": [], **figures(metrics / "judge.json", "status", "metrics", "judge")}
    judge["metrics"] = wording.ordered(judge["metrics"], values["judge"]["metrics"])
    controls = dict.fromkeys(row["control"] for row in judge["check"])
    judge["controls"] = [(name, [row for row in judge["check"] if row["control"] == name]) for name in controls]
    train = figures(metrics / "train.json", "steps", "eval", "data")
    data = data_facts(root)
    facts = {
        "headline": wording.headline(scores["test"], scores["recipe"]),
        "base": figures(metrics / "base.json", "name", "kind", "revision", "template"),
        "walk": data["walk"],
        "data": data,
        "train": train,
        "charts": training_charts(metrics / "train_log.csv", train["eval"]),
        "merge": figures(metrics / "merge.json"),
        "scores": scores,
        "scorecard": scorecard_figures(scores["recipe"]),
        "recipe_charts": [
            (curve, curves.chart(tuned_first(curve["series"]))) for curve in scores["recipe"].get("curves", [])
        ],
        "judge": judge,
        "origin": origin(train, values),
        "changed": changed_settings(values),
        "params": [(key, shown_setting(key, value)) for key, value in flat(values)],
        "recipe": values["recipe"],
        "seed": values["seed"],
        "remote_code": values["model"]["trust_remote_code"],
        "flat": flat,
    }
    return {**facts, "limits": list(limits(facts))}


def scorecard_figures(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The recipe's own numbers, a split each: as a whole, in slices, and the slices as tables; no empty split."""
    found = [
        {
            "caption": caption,
            "whole": lines(recipe, split, sliced=False),
            "sliced": lines(recipe, split, sliced=True),
            "matrices": matrices(recipe, split),
        }
        for split, caption in (("test", "Test split"), ("val", "Validation split"))
    ]
    return [tables for tables in found if tables["whole"] or tables["sliced"]]


def tuned_first(series: Mapping[str, curves.Points]) -> dict[str, curves.Points]:
    """The series in the order of their colours on the page: tuned before base, whatever their names sort to."""
    return dict(sorted(series.items(), key=lambda item: "tuned" not in item[0]))


def changed_settings(values: Mapping[str, Any]) -> list[tuple[str, str, str]] | None:
    """(key, value, the recipe's value) where this run is not as its recipe says; None if the recipe is gone."""
    now = flatten(values)
    laid = differences(HERE, {**now, **dict.fromkeys(PERSONAL)})
    if laid is None:
        return None
    changed = {key: both for key, both in laid.items() if key not in PERSONAL and not key.startswith("runtime.")}
    found = [(key, one_line(value), one_line(usual)) for key, (value, usual) in changed.items()]
    return found + [(key, shown_setting(key, str(now[key])), "yours to set") for key in PERSONAL if now.get(key)]


def limits(facts: Mapping[str, Any]) -> Iterator[str]:
    """What a reader of this run's figures should not take from them."""
    test = facts["scores"]["test"]
    groups = max((entry["groups"] for entry in test.values()), default=0)
    if facts["base"]["kind"] == "embedded":
        yield "The embedded base is a toy: no figure here carries over to a real base model."
    if facts["remote_code"]:
        base = facts["base"]
        yield f"Code that comes with {base['name']} ran here, from commit {base['revision']}: model.trust_remote_code."
    if groups < FEW_GROUPS:
        yield f"The test split has {groups} conversation groups: intervals are rough below {FEW_GROUPS}."
    yield (
        f"Each interval stands alone: of {len(test)} metrics without a true difference, "
        f"{len(test) * 0.05:.1f} would be expected to exclude 0 by chance; Holm's p values are adjusted for that."
    )
    yield "Perplexity, chrF and ROUGE-L measure closeness to one answer; another answer can be as good."
    yield "Each look at the test split wears it out: choose between experiments by the validation split."
    if facts["judge"]["status"] != "scored":
        yield "No judge has looked at the answers: nothing here says whether they make sense to a reader."


def origin(train: Mapping[str, Any], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What another person needs to name the same run: base and revision, data by hash, recipe and seed."""
    base = train["base"]
    return [
        ("base model", f"{base['name']} ({base['kind']})"),
        ("its revision", base["revision"] or "none: it is made here"),
        ("chat template", base["template"]),
        ("training data, sha256", train["data"]["sha256"]),
        ("training examples", wording.number(train["data"]["examples"])),
        ("recipe and seed", f"{values['recipe']}, {values['seed']}"),
    ]


def shown_setting(key: str, value: str) -> str:
    """The value, but not the ids of people."""
    return "(set; not shown)" if key in PERSONAL and value not in ("", "[]") else value


def training_charts(path: Path, evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Loss (training and held-out) and learning rate, by optimizer step."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    losses = {
        "training": [(float(row["step"]), float(row["loss"])) for row in rows],
        "validation": [(float(e["step"]), float(e["loss"])) for e in evaluations if e["loss"] is not None],
    }
    rates = {"learning rate": [(float(row["step"]), float(row["lr"])) for row in rows]}
    names = [name for name in ("activation", "leakage", "separation") if all(name in e for e in evaluations)]
    epochs = {name: [(e["epoch"], e[name]) for e in evaluations] for name in names}
    return {"loss": curves.chart(losses), "rate": curves.chart(rates), "epochs": curves.chart(epochs)}


def about(name: str) -> str:
    """The sentence in which a metric's file says what it is; "" for a judged metric. The file is not run."""
    if name not in plugin_names("metrics"):
        return ""
    source = plugin_file("metrics", name, ".py", key="score.metrics").read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
    return " ".join(first.removeprefix(f"{name}:").split()).rstrip(".")


def whisker(entry: Mapping[str, Any]) -> dict[str, float]:
    """Where the difference and its interval lie on a scale of -50 to 50 with 0, no difference, in the middle."""
    found = entry["difference"]
    reach = max(abs(found["low"]), abs(found["high"]), abs(found["value"])) or 1
    return {key: round(found[key] / reach * 50, 1) for key in ("low", "value", "high")}


def arguments(call: ToolCall) -> str:
    """A tool call's arguments as JSON."""
    return json.dumps(call.arguments, ensure_ascii=False)


def without(figures: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The figures but one."""
    return {name: value for name, value in figures.items() if name != key}


def cell(text: object) -> str:
    """A value for a Markdown table: one line, no bar that would end the cell."""
    return " ".join(str(text).replace("|", "¦").split())


if __name__ == "__main__":
    run("report", main)
