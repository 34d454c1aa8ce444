"""make recipe NAME=..., or FROM=my.yaml: lays a recipe, or another trainer's settings, into params.yaml.

recipes/_base.yaml has every key with its comment; recipes/NAME.yaml holds the method for a real base
model; recipes/embedded/NAME.yaml adapts it to the embedded base (BASE=embedded, the default). A recipe of
your own is one file with `from: persona` and the keys that differ. Comments are kept; a key that
_base.yaml lacks is refused; edits in params.yaml that nobody committed are protected, unless --force.
"""

import argparse
import io
import subprocess
from pathlib import Path
from typing import Any

from parley.errors import ParleyError
from parley.files import publish
from parley.params import read_yaml
from parley.recipes import compose, differences, dump, flatten, round_trip
from tools import told
from tools.preflight import check_params


def edits(root: Path) -> list[str]:
    """Keys in which root/params.yaml differs both from git's copy and from the recipe that it names."""
    path = root / "params.yaml"
    if not path.is_file():
        return []
    # From git's own folder, so that a checkout in a subfolder of another repository is compared rightly.
    committed = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=root, capture_output=True, check=False).stdout
    if path.read_bytes() == committed:
        return []
    found = differences(root, flatten(read_yaml(path)))
    return ["recipe"] if found is None else sorted(found)


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

    if not path.is_file():
        raise ParleyError(f"FROM={path}: no such file")
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
    with told("recipe"):
        if asked.source:
            name, base = take(Path(), asked.source, force=asked.force), "hub"
        else:
            name, base = asked.name, asked.base
            lay(Path(), name, base, force=asked.force)
    print(f"recipe: params.yaml is now {name} on the {base} base; next: make repro")


if __name__ == "__main__":
    main()
