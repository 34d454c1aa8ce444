"""What `make compare` compares: experiments on one set of test cases, case by case, each against the first."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.errors import ParleyError, near_misses
from parley.evaluation import Score, Unscored, cases_of, generations_for
from parley.files import sha256_file
from parley.plugins import plugin, plugin_names
from parley.progress import tracked
from parley.reporting.wording import Entry
from parley.scoring.both import Answers, Both
from parley.scoring.scorecard import block, lines
from parley.scoring.significance import holm
from parley.scoring.statistics import Pair, compare
from stages.report import shown_setting
from tools.experiments import Experiment
from tools.timing import Record, records, since

MADE_OF = ("seed", "ingest.", "convert.", "redact.", "transforms.", "validate.")  # settings that test cases come from
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
