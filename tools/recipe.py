"""make recipe NAME=..., or FROM=my.yaml: lays a recipe, or another trainer's settings, into params.yaml.

recipes/_base.yaml has every key with its comment; recipes/NAME.yaml holds the method for a real base
model; recipes/embedded/NAME.yaml adapts it to the embedded base (BASE=embedded, the default). A recipe of
your own is one file with `from: persona` and the keys that differ. Comments are kept; a key that
_base.yaml lacks is refused; edits in params.yaml that nobody committed are protected, unless --force.
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from parley.errors import ParleyError, near_misses
from parley.files import publish
from parley.params import read_yaml
from tools.preflight import check_params

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


def overlays(root: Path, name: str, base: str) -> list[Path]:
    """The files to lay, in order: a parent's first (`from:`), and each recipe's embedded part after it."""
    folder = root / "recipes"
    if base not in BASES:
        raise ParleyError(f"BASE={base!r}: expected embedded or hub")
    path = folder / f"{name}.yaml"
    names = [file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("_")]
    if name.startswith("_") or name not in names:
        raise ParleyError(f"recipe {name!r} is not in recipes/{near_misses(name, names)}")
    parent = read_yaml(path).get("from")
    if parent == name:
        raise ParleyError(f"{path}: from: a recipe can't start from itself")
    before = overlays(root, parent, base) if parent else []
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


def edits(root: Path) -> list[str]:
    """Keys in which root/params.yaml differs both from git's copy and from the recipe that it names."""
    path = root / "params.yaml"
    if not path.is_file():
        return []
    # From git's own folder, so that a checkout in a subfolder of another repository is compared rightly.
    committed = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=root, capture_output=True, check=False).stdout
    if path.read_bytes() == committed:
        return []
    now = flatten(read_yaml(path))
    found: list[list[str]] = []
    for base in BASES:
        try:
            laid = flatten(_plain(compose(root, str(now.get("recipe")), base)))
        except ParleyError:
            continue
        found.append(sorted(key for key in now.keys() | laid.keys() if now.get(key) != laid.get(key)))
    return min(found, key=len, default=["recipe"])


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


def _plain(params: CommentedMap) -> dict[str, Any]:
    plain: dict[str, Any] = YAML(typ="safe", pure=True).load(dump(params))
    return plain


def round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 4096  # never fold a long value
    yaml.preserve_quotes = True
    return yaml


def lay(root: Path, name: str, base: str, *, force: bool) -> None:
    """Writes root/params.yaml for a recipe, all or nothing: the old file comes back if a value is refused."""
    path = root / "params.yaml"
    text = dump(compose(root, name, base))
    lost = [] if force else edits(root)
    if lost:
        raise ParleyError(
            f"params.yaml holds edits that nobody committed and that this would overwrite: {', '.join(lost)}. "
            "Commit them, move them into a recipe of your own (recipes/mine.yaml with `from:`), or FORCE=1"
        )
    before = path.read_bytes() if path.is_file() else None
    with publish(path) as made:
        made.write_text(text, encoding="utf-8")
    try:
        check_params(root)
    except ParleyError:
        if before is not None:
            path.write_bytes(before)
        raise


def take(root: Path, path: Path, *, force: bool) -> str:
    """Writes recipes/<stem>.yaml from another trainer's settings and lays it; the recipe's name."""
    from tools.import_settings import import_settings

    found = import_settings(path)
    values: dict[str, Any] = {"from": "generic"}
    for key, value in {"ingest.input": "data/raw", **found.values}.items():
        *sections, last = key.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    recipe, text = root / "recipes" / f"{path.stem}.yaml", io.StringIO()
    round_trip().dump(values, text)
    before = recipe.read_text(encoding="utf-8") if recipe.is_file() else None
    if before not in (None, text.getvalue()) and not force:
        raise ParleyError(f"{recipe} is there and differs: rename {path}, or FORCE=1")
    recipe.write_text(text.getvalue(), encoding="utf-8")
    try:
        lay(root, path.stem, "hub", force=force)
    except ParleyError:
        recipe.unlink()
        if before is not None:
            recipe.write_text(before, encoding="utf-8")
        raise
    for key, value in found.values.items():
        print(f"recipe: taken: {key}: {value}")
    for key, why in found.left.items():
        print(f"recipe: not needed: {key}: {why}")
    return path.stem


def main() -> None:
    parser = argparse.ArgumentParser(prog="make recipe", description="Lay a recipe into params.yaml.")
    parser.add_argument("name", nargs="?", default="", help="NAME: a file of recipes/, without .yaml")
    parser.add_argument("--from", dest="source", type=Path, help="FROM: settings of LLaMA-Factory or of an SFT script")
    parser.add_argument("--base", default="embedded", help="BASE: embedded (default) or hub")
    parser.add_argument("--force", action="store_true", help="FORCE=1: overwrite edits that nobody committed")
    asked = parser.parse_args()
    try:
        if asked.source:
            name, base = take(Path(), asked.source, force=asked.force), "hub"
        else:
            name, base = asked.name, asked.base
            lay(Path(), name, base, force=asked.force)
    except ParleyError as error:
        print(f"recipe: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"recipe: params.yaml is now {name} on the {base} base; next: make repro")


if __name__ == "__main__":
    main()
