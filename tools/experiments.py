"""Experiments as folders: what a comparison reads of a DVC revision, laid out like a workspace."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.errors import ParleyError, near_misses
from parley.evaluation import Score, Unscored, cases_of, of_one_run
from parley.files import read_json
from parley.jsonl import rows_of
from parley.params import read_yaml
from parley.recipes import flatten

WORKSPACE = "workspace"
FILES = (
    "params.yaml",
    *(f"metrics/{name}" for name in ("base.json", "train.json", "train_log.csv", "scores.json", "judge.json")),
    *(f"data/eval/{name}.jsonl" for name in ("cases", "tuned", "scores", "verdicts")),
)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run of the pipeline; `root` holds FILES."""

    name: str
    root: Path

    @property
    def params(self) -> dict[str, Any]:
        """Every setting but those of `runtime`, by its dotted name."""
        values = read_yaml(self.root / "params.yaml")
        return flatten({name: value for name, value in values.items() if name != "runtime"})

    def metrics(self, name: str) -> dict[str, Any]:
        """metrics/<name>.json."""
        return read_json(self.root / f"metrics/{name}.json")

    def scores(self) -> dict[tuple[str, str], dict[str, Score | Unscored]]:
        """(split, metric) -> case id -> the tuned model's score; the judge's metrics too."""
        found: dict[tuple[str, str], dict[str, Score | Unscored]] = {}
        for _, row in rows_of(self.root / "data/eval/scores.jsonl"):
            side = row["tuned"]
            score = Unscored(side["unscored"]) if "unscored" in side else Score(side["value"], side["weight"])
            found.setdefault((row["split"], row["metric"]), {})[row["id"]] = score
        for _, row in rows_of(self.root / "data/eval/verdicts.jsonl"):
            if row["model"] == "tuned" and row["metric"] != "pairwise":
                verdict = Unscored(row["kind"]) if row["score"] is None else Score(row["score"])
                found.setdefault(("test", row["metric"]), {})[row["id"]] = verdict
        return found

    def groups(self) -> dict[str, str]:
        """Case id -> its conversation group."""
        cases = cases_of(self.root / "data/eval/cases.jsonl")
        return {case.id: case.group for case in cases}


def read_experiments(root: Path, names: Sequence[str], scratch: Path) -> list[Experiment]:
    """The experiments of these names (or any git revisions); without a name, the workspace and HEAD's experiments.

    Files that DVC holds come from its cache, into folders below `scratch`.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        known = dict(named(repo))
        chosen = list(dict.fromkeys(names or [WORKSPACE, *known]))
        found = []
        for number, name in enumerate(chosen):
            place = root if name == WORKSPACE else scratch / str(number)
            if place != root:
                fetch(repo, name, known, place)
            missing = [file for file in FILES if not (place / file).is_file()]
            if missing:
                raise ParleyError(f"{name} has no {missing[0]}: {how(name)}")
            for figures in ("scores", "judge"):
                of_one_run(place / f"metrics/{figures}.json", place / "data/eval")
            found.append(Experiment(name, place))
    return found


def named(repo: Any) -> Iterator[tuple[str, str]]:
    """(name, commit) of HEAD's experiments, the newest first."""
    for ranges in repo.experiments.ls(rev="HEAD").values():
        for name, commit in ranges:
            yield name or commit[:7], commit


def fetch(repo: Any, name: str, known: Mapping[str, str], place: Path) -> None:
    """Copies FILES of a revision into `place`, as far as git and DVC's cache hold them."""
    from dvc.fs import DVCFileSystem
    from dvc.repo.experiments.utils import resolve_name
    from dvc.scm import RevError, resolve_rev

    elsewhere = resolve_name(repo.scm, [name])[name]  # an experiment of another commit
    commit = known.get(name) or (repo.scm.get_ref(str(elsewhere)) if elsewhere else name)
    try:
        resolve_rev(repo.scm, commit)
    except RevError:
        raise ParleyError(f"{name!r} is no experiment, branch, tag or commit{near_misses(name, known)}") from None
    try:
        files = DVCFileSystem(url=repo.root_dir, rev=commit)
        for file in FILES:
            if files.isfile(file):
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                files.get_file(file, str(place / file))
    except FileNotFoundError:  # git names it, the cache lacks it: read_experiments says so
        return


def how(name: str) -> str:
    """What to do for an experiment that is not whole here."""
    if name == WORKSPACE:
        return "run `make repro`, or name the experiments: make compare REVS='one other'"
    return (
        f"it failed, or DVC's cache here lacks it: `dvc pull`, or run it again (`dvc exp apply {name}`, `make repro`)"
    )
