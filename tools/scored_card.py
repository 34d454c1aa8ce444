"""The model card with the scores beneath it, for whoever hands a model on: merge writes the card before there are any.

Only scores of that very model: by dvc.lock, what was scored was answered by the models/merged that merge made last.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley.files import read_json
from parley.params import read_yaml
from parley.training.card import FILE

MERGED = "models/merged"
ANSWERS = "data/eval/tuned.jsonl"
BEFORE = "It learnt from conversations of people"  # the card's last paragraph


def scored_card(root: Path, folder: Path) -> str:
    """The card of a model folder; that of models/merged with a table of its scores, if they are its own."""
    card = (folder / FILE).read_text(encoding="utf-8")
    if folder.resolve() != (root / MERGED).resolve() or not _are_its_own(root):
        return card
    return card.replace(BEFORE, f"{_table(read_json(root / 'metrics/scores.json')['test'])}\n\n{BEFORE}", 1)


def _are_its_own(root: Path) -> bool:
    if not (root / "dvc.lock").is_file() or not (root / "metrics/scores.json").is_file():
        return False
    stages = read_yaml(root / "dvc.lock").get("stages", {})

    def sums(stage: str, kind: str, path: str) -> set[str]:
        return {entry["md5"] for entry in stages.get(stage, {}).get(kind, []) if entry["path"] == path}

    asked = sums("merge", "outs", MERGED) & sums("generate@tuned", "deps", MERGED)
    return bool(asked and sums("generate@tuned", "outs", ANSWERS) & sums("score", "deps", ANSWERS))


def _table(scores: Mapping[str, Any]) -> str:
    """Tuned and base on the test split, in the metrics' own units; what was not scored is left out."""
    rows = []
    for name, row in scores.items():
        if "tuned" in row:
            found = row.get("shown", row)  # perplexity is compared in nats and shown as itself
            rows.append(
                f"| {name} ({found['unit']}) | {_shown(found['tuned'])} | {_shown(found['base'])} | {row['n']} |"
            )
    head = "| on the held-out test split | this model | its base | n |\n|---|---|---|---|\n"
    return f"{head}{chr(10).join(rows)}\n\nIn brackets: 95 % intervals."


def _shown(entry: Mapping[str, Any]) -> str:
    spread = f" [{entry['low']:.4g}, {entry['high']:.4g}]" if entry["low"] is not None else ""
    return f"{entry['value']:.4g}{spread}"
