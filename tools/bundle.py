"""parley-bug-report.json, by `make doctor BUNDLE=1`: params, training_info, memory and versions; no text, no secret.

Numbers, switches and hashes stay as they are. A string stays only if a recipe in git has it, or it is a plug-in's or a
Hub model's name; else it becomes "<12 characters>". Nothing is sent anywhere.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.files import write_json
from parley.params import read_yaml
from parley.plugins import plugin_names
from tools.timing import since

if TYPE_CHECKING:
    from tools.machine import Finding

NAME = "parley-bug-report.json"
VERSIONS = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "dvc", "deepeval")
PLUGINS = ("formats", "transforms", "cases", "metrics", "judges", "scorecards")
TRAINING = ("base", "dataset_info", "lora_config", "model_family", "params", "precision", "seed", "versions")
HASH = re.compile(r"[0-9a-f]{40,64}")


def write_bundle(root: Path, found: Sequence[Finding]) -> Path:
    """Writes the file and returns its path."""
    known = known_strings()
    info = root / "models/trained/training_info.json"
    made = json.loads(info.read_bytes()) if info.is_file() else {}
    bundle = {
        "system": {"python": platform.python_version(), "system": platform.platform()},
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "doctor": [[finding.level, finding.subject] for finding in found],  # its words may name a chat's file
        "params": masked(read_yaml(root / "params.yaml"), known, root),
        "training_info": masked({key: made[key] for key in TRAINING if key in made}, known, root),
        "memory": since(root, ""),
    }
    write_json(root / NAME, bundle)
    return root / NAME


def known_strings() -> set[str]:
    """Every string of the project's recipes, and the names of its plug-ins."""
    versions = {importlib.metadata.version(name) for name in VERSIONS}
    names = {name for folder in PLUGINS for name in plugin_names(folder)} | set(VERSIONS) | versions
    recipes = [read_yaml(path) for path in sorted((Path(__file__).parents[1] / "recipes").rglob("*.yaml"))]
    return names | {text for recipe in recipes for text in _strings(recipe)}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _strings(inner)


def masked(value: Any, known: Collection[str], root: Path, *, place: str = "") -> Any:
    """The value without strings of the user's own. place: its key; names of columns are the user's too."""
    if isinstance(value, dict):
        keys = [f"<column {number}>" if place == "columns" else key for number, key in enumerate(value)]
        return {key: masked(inner, known, root, place=key) for key, inner in zip(keys, value.values(), strict=True)}
    if isinstance(value, list):
        return [masked(inner, known, root, place=place) for inner in value]
    if not isinstance(value, str) or value in known or HASH.fullmatch(value):
        return value
    hub = place in ("name", "model_name") and re.fullmatch(r"[\w-]+/[\w.-]+", value) and not (root / value).exists()
    return value if hub or place in ("model_family", "precision") else f"<{len(value)} characters>"
