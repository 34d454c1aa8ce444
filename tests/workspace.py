"""What a workspace for a stage holds, and a stage in a process of its own, as DVC starts it."""

import copy
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from parley.encoding.examples import Example
from parley.files import read_json
from parley.jsonl import rows_of
from parley.params import read_yaml

PARAMS = Path(__file__).parents[1] / "params.yaml"


def made_up(split: str, count: int, seed: int) -> list[Example]:
    """Examples of 8-40 random tokens, the second half of each trained."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        ids = [draw.randrange(5, 300) for _ in range(draw.randrange(8, 41))]
        half = len(ids) // 2
        rows.append(Example(f"{split}-{number}", ids, [-100] * half + ids[half:]))
    return rows


def set_params(root: Path, **changes: Any) -> None:
    """Writes root/params.yaml: the project's own, in fp32 on one thread, with `section__key` changed."""
    values = read_yaml(PARAMS)
    values["model"]["threads"] = 1
    values["train"] |= {"precision": "fp32", "epochs": 2, "batch_size": 2}
    values["train"]["lora"] |= {"r": 4, "alpha": 8}
    values["runtime"] |= {"save_steps": 0, "logging_steps": 1000}
    for name, value in changes.items():
        place = values
        *path, key = name.split("__")
        for part in path:
            place = place[part]
        place[key] = copy.deepcopy(value)
    (root / "params.yaml").write_text(json.dumps(values), encoding="utf-8")  # which is YAML too


def of_recipe(name: str, *sections: str) -> dict[str, Any]:
    """A recipe's own settings of some sections, as `set_params` takes them."""
    recipe = read_yaml(PARAMS.parent / f"recipes/{name}.yaml")
    return {f"{section}__{key}": value for section in sections for key, value in recipe[section].items()}


def walk_data(root: Path) -> dict[str, Counter[str]]:
    """What ingest, convert and validate dropped, by reason; the counts of each are held against its rejects."""
    from stages import convert, ingest, validate

    found = {}
    for stage, metrics in ((ingest, "ingest"), (convert, "convert"), (validate, "data")):
        stage.main(root)
        name = stage.__name__.rpartition(".")[2]
        counts = read_json(root / f"metrics/{metrics}.json")
        found[name] = Counter(row["code"] for _, row in rows_of(root / f"data/rejects/{name}.jsonl"))
        assert counts["in"] == counts["out"] + found[name].total() > 0
        assert found[name] == counts["dropped"]
    return found


def start(root: Path, stage: str, **environment: str) -> "subprocess.Popen[str]":
    """`python -m stages.NAME` in `root`, at work, with pipes."""
    known = {**os.environ, "PYTHONPATH": str(PARAMS.parent), **environment}
    command = [sys.executable, "-m", f"stages.{stage}"]
    return subprocess.Popen(command, cwd=root, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_stage(root: Path, stage: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python -m stages.NAME` in `root`, ended, with what it printed."""
    process = start(root, stage, **environment)
    printed = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *printed)


def git(place: Path, *arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], cwd=place, check=True)


def commit_all(place: Path) -> None:
    """Makes `place` a git repository with everything committed, or commits what is new there."""
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "t", "--allow-empty"]):
        git(place, *command)
