"""make timing: seconds and memory of each stage with the params of now, from metrics/timing.

A stage whose output came from DVC's cache did not run with these params: its newest earlier run is shown in brackets.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from parley.errors import ParleyError
from parley.params import read_yaml
from parley.reporting.wording import number
from parley.stage import timing_file
from tools import table, told

Record = Mapping[str, Any]
# Rates that a stage may add to its record, and how they are said.
RATES = {
    "tokens_per_second": "trained tokens/s",
    "new_tokens_per_second": "new tokens/s",
    "judge_calls": "judge calls",
}


def stage_names(root: Path) -> list[str]:
    """Every stage of dvc.yaml in its order, a foreach as `generate@base`."""
    blocks = read_yaml(root / "dvc.yaml")["stages"].items()
    return [
        full
        for name, block in blocks
        for full in ([f"{name}@{key}" for key in block["foreach"]] if "foreach" in block else [name])
    ]


def records(root: Path, params: bytes) -> dict[str, Record]:
    """Stage -> its record of the run with this params.yaml; a stage that came from the cache has none."""
    found = {}
    for stage in stage_names(root):
        name, _, argument = stage.partition("@")
        path = root / "metrics/timing" / timing_file(name, params, argument)
        if path.is_file():
            found[stage] = json.loads(path.read_bytes())
    return found


def since(root: Path, moment: str) -> list[Record]:
    """Records of every stage that ended at `moment` (UTC, as in the records) or later, in the order of their ends."""
    paths = (root / "metrics/timing").glob("*-*.json")
    found = [record for path in paths if (record := json.loads(path.read_bytes()))["finished"] >= moment]
    return sorted(found, key=lambda record: record["finished"])


def rows(root: Path) -> Iterator[list[str]]:
    """The cells of each stage that has ever run here."""
    own = records(root, (root / "params.yaml").read_bytes())
    earlier = {stage_of(record): record for record in since(root, "")}
    for stage in stage_names(root):
        record = own.get(stage) or earlier.get(stage)
        if record is None:
            continue
        cells = [number(record["seconds"]), number(record["cpu_seconds"]), number(record["peak_memory_mb"])]
        more = [f"{number(record[key])} {said}" for key, said in RATES.items() if record.get(key)]
        more += [str(record["device"])] if "device" in record else []
        brackets = "{}" if stage in own else "({})"
        yield [stage, *map(brackets.format, cells), record["finished"][5:16].replace("T", " "), ", ".join(more)]


def stage_of(record: Record) -> str:
    """The stage's name as in dvc.yaml."""
    return "@".join(filter(None, (record["stage"], record.get("argument"))))


def main(root: Path, console: Console) -> None:
    """Prints the table, and what all stages took together."""
    found = list(rows(root))
    if not found:
        raise ParleyError("metrics/timing has no record yet: run `make repro`")
    headings = ("stage", "seconds", "of CPU", "peak MB", "ended, UTC", "")
    shown = table(headings, left=("stage", "ended, UTC", ""))
    for row in found:
        shown.add_row(*row)
    console.print(shown)
    own = records(root, (root / "params.yaml").read_bytes()).values()
    console.print(f"{len(own)} stages ran with these params, {number(sum(r['seconds'] for r in own))} s in all")
    if any(row[1].startswith("(") for row in found):
        console.print("(in brackets): an earlier run; with these params the output came from DVC's cache")


if __name__ == "__main__":
    with told("timing"):
        main(Path(), Console())
