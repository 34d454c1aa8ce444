"""Recipes: what the files of recipes/ make of params.yaml, and what of it somebody changed.

recipes/_base.yaml has every key with its comment; recipes/NAME.yaml lays the values of a method over it, and
recipes/embedded/NAME.yaml those for the embedded base.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from parley.errors import ParleyError, near_misses
from parley.params import read_yaml

BASES = ("embedded", "hub")
OPEN = {"train.sft", "train.lora"}  # fields of SFTConfig and LoraConfig go here by their own names


def compose(root: Path, name: str, base: str) -> CommentedMap:
    """The params of recipe `name` on `base`: _base.yaml with its comments, the overlays' values."""
    layers = overlays(root, name, base)
    params: CommentedMap = round_trip().load((root / "recipes" / "_base.yaml").read_text(encoding="utf-8"))
    for path in layers:
        values = {key: value for key, value in read_yaml(path).items() if key != "from"}
        _lay(params, values, path, place="")
    params["recipe"] = name
    return params


def overlays(root: Path, name: str, base: str, *, below: tuple[str, ...] = ()) -> list[Path]:
    """The files to lay, in order: a parent's first (`from:`), and each recipe's embedded part after it.

    below: the recipes that start from this one.
    """
    folder = root / "recipes"
    if base not in BASES:
        raise ParleyError(f"BASE={base!r}: expected embedded or hub")
    path = folder / f"{name}.yaml"
    names = [file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("_")]
    if name.startswith("_") or name not in names:
        raise ParleyError(f"recipe {name!r} is not in recipes/{near_misses(name, names)}")
    parent = read_yaml(path).get("from")
    if parent in (name, *below):
        raise ParleyError(f"{path}: from: {parent!r} starts from this recipe: a recipe can't start from itself")
    before = overlays(root, parent, base, below=(name, *below)) if parent else []
    embedded = folder / "embedded" / f"{name}.yaml"
    return [*before, path, *([embedded] if base == "embedded" and embedded.is_file() else [])]


def _lay(params: CommentedMap, values: Mapping[str, Any], path: Path, *, place: str) -> None:
    for key, value in values.items():
        where = f"{place}.{key}" if place else key
        if key not in params and place not in OPEN:
            raise ParleyError(f"{path}: {where}: unknown key{near_misses(key, [str(known) for known in params])}")
        if isinstance(value, dict) and isinstance(params.get(key), dict):
            _lay(params[key], value, path, place=where)
        else:
            params[key] = value


def flatten(values: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """{"train.lr": 1e-05, ...}: every leaf of nested mappings under its dotted name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{place}.{key}" if place else str(key)
        flat.update(flatten(value, where) if isinstance(value, Mapping) and value else {where: value})
    return flat


def dump(params: CommentedMap) -> str:
    """The text of params.yaml, as `dvc exp run -S` would keep it: block style, comments in place."""
    text = io.StringIO()
    round_trip().dump(params, text)
    return text.getvalue()


def plain(params: CommentedMap) -> dict[str, Any]:
    plain: dict[str, Any] = YAML(typ="safe", pure=True).load(dump(params))
    return plain


def round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 4096  # never fold a long value
    yaml.preserve_quotes = True
    return yaml


def differences(root: Path, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]] | None:
    """Key -> (value now, the recipe's) where flat params differ from the recipe that they name; None if it is gone.

    A recipe stands for two sets of values, by its base; the nearer one counts. A key that one side lacks is None there.
    """
    found = []
    for base in BASES:
        try:
            laid = flatten(plain(compose(root, str(now.get("recipe")), base)))
        except ParleyError:
            continue
        keys = [key for key in {**now, **laid} if now.get(key) != laid.get(key)]
        found.append({key: (now.get(key), laid.get(key)) for key in keys})
    return min(found, key=len, default=None)
