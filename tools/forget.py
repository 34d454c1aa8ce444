"""make forget AUTHOR=id [YES=1]: a person leaves the raw copy, every output, the caches, and comes back with none.

Without YES=1 it only says what it would do. Their messages go from the JSON files below data/raw, and their names
and what others quote of them from the rest of those files; other raw files are named, to be made again or removed.
Everything made from the data goes too, and `make repro` makes it anew. At the end every file that git does not
keep is searched. What was copied, pushed or exported elsewhere is out of reach.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from parley.conversation import message_of
from parley.errors import ParleyError
from parley.files import publish
from parley.identifiers import LETTER
from parley.jsonl import rows_of
from parley.names import ORDINARY
from parley.params import read_yaml
from parley.people import People, meet, without_quotes
from parley.quality import FILE
from parley.redaction import names
from tools.recipe import round_trip

MADE = ("interim", "sharegpt", "splits", "encoded", "eval", "rejects", "pseudonyms.json")
CACHES = (
    ".judge",
    ".checkpoints",
    ".evaluations",
    ".dvc/cache/runs",
    ".dvc/tmp",
)  # no answer tells whose words it quotes
KEPT_STAGES = ("base",)  # learns nothing from the data
CHUNK = 1 << 24  # characters searched at once


def forget(root: Path, author: str, *, sure: bool, say: Callable[[str], None]) -> list[Path]:
    """Does all of it, or only says what it would do; gives the files in which the search still finds the person."""
    people = known(root, author)
    shown = sorted(people.names[author])
    say(f"{author}: {people.messages[author]} messages, {len(shown)} names")
    made = [*(root / "data" / name for name in MADE), root / "models/trained", root / "models/merged"]
    made += [root / "metrics/report.html", root / "metrics/report.md", *(root / name for name in CACHES)]
    if not sure:
        say(
            f"would rewrite the JSON files below data/raw, add the id to convert.exclude_authors and remove "
            f"{', '.join(str(path.relative_to(root)) for path in made if path.exists())} and what DVC keeps of them; "
            "nothing is changed yet: say it with YES=1"
        )
        return []
    exclude(root / "params.yaml", author)
    for path in sorted(path for path in (root / "data/raw").rglob("*") if path.is_file()):
        if not rewrite(path, author, people):
            say(f"{path.relative_to(root)}: not JSON, so not rewritten: remove it, or export it again without them")
    source = read_yaml(root / "params.yaml")["ingest"]["input"]
    if not (root / source).resolve().is_relative_to((root / "data/raw").resolve()):
        say(f"{source} (ingest.input) is not below data/raw and stays as it is; the opt-out list keeps them out")
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (root / FILE).write_bytes(b"")
    clear_dvc(root)
    left = list(search(root, author, people))
    say("a search of every file finds nothing more, but the id in params.yaml" if not left else "still found in:")
    for path in left:
        say(f"  {path.relative_to(root)}")
    return left


def known(root: Path, author: str) -> People:
    """The people of data/interim. Raises ParleyError if the author is none of them, or is the one to be learnt."""
    if read_yaml(root / "params.yaml")["convert"]["target"] == author:
        raise ParleyError(
            f"{author!r} is convert.target: choose another target first, or remove data/raw and `make clean`"
        )
    rows = rows_of(root / "data/interim/messages.jsonl")
    people = meet((message_of(row) for _, row in rows), opted_out={author})
    if author not in people.names:
        raise ParleyError(f"AUTHOR={author!r}: nobody in data/interim has this id; it is the id in the export, no name")
    return people


def exclude(path: Path, author: str) -> None:
    """Adds the author to convert.exclude_authors, comments and the other values as they were."""
    yaml = round_trip()
    params = yaml.load(path.read_text(encoding="utf-8"))
    if author not in params["convert"]["exclude_authors"]:
        params["convert"]["exclude_authors"] = [*params["convert"]["exclude_authors"], author]
        with publish(path) as made, made.open("w", encoding="utf-8") as handle:
            yaml.dump(params, handle)


def rewrite(path: Path, author: str, people: People) -> bool:
    """Whether the file is JSON, or lines of it; if so it is written again without the person."""
    hide = names({author: people.names[author]}, {})
    try:
        values, lines = [json.loads(path.read_bytes())], False
    except ValueError:
        try:
            values, lines = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()], True
        except ValueError:
            return False
    cleared = [
        _without(value, author, lambda text: hide(without_quotes(text, people.unquotable))[0])
        for value in values
        if not _is_theirs(value, author)
    ]
    with publish(path) as made:
        texts = [json.dumps(value, ensure_ascii=False, indent=None if lines else 2) for value in cleared]
        made.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return True


def _without(value: Any, author: str, hide: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, author, hide) for key, inner in value.items() if not _is_theirs(inner, author)}
    if isinstance(value, list):
        return [_without(inner, author, hide) for inner in value if not _is_theirs(inner, author)]
    return hide(value) if isinstance(value, str) else value


def _is_theirs(value: Any, author: str) -> bool:
    """Whether a record is the person, or written by them, under one of the keys that exports use."""
    if not isinstance(value, dict):
        return False
    writer = value.get("author", value.get("user"))
    ids = [value.get(key) for key in ("id", "from_id", "actor_id", "author_id", "user_id")]
    return author in map(str, [*ids, writer.get("id") if isinstance(writer, dict) else writer])


def clear_dvc(root: Path) -> None:
    """DVC forgets every output but the base model's, and removes from its cache what nothing names any more."""
    lock = root / "dvc.lock"
    if lock.exists():
        content = read_yaml(lock)
        content["stages"] = {name: block for name, block in content["stages"].items() if name in KEPT_STAGES}
        with publish(lock) as made, made.open("w", encoding="utf-8") as handle:
            round_trip().dump(content, handle)
    for command in (["add", "data/raw"] if (root / "data/raw.dvc").exists() else [], ["gc", "--workspace", "--force"]):
        if command and (root / ".dvc").is_dir():
            subprocess.run([sys.executable, "-m", "dvc", *command, "--quiet"], cwd=root, check=True)


def search(root: Path, author: str, people: People) -> Iterator[Path]:
    """Files that git does not keep with the person's id or a name of theirs, in the text or in the path."""
    others = {word for key, shown in people.names.items() if key != author for word in _words(shown)}
    words = {author, *(word for word in _words(people.names[author]) if word not in others)}
    written = {re.escape(form) for word in words for form in (word, json.dumps(word)[1:-1].lower())}
    pattern = re.compile(rf"(?<!{LETTER})(?:{'|'.join(sorted(written))})(?!{LETTER})")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False).stdout
    kept = {root / name for name in listing.split("\0")}
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if path in kept or place.parts[0] in (".git", ".venv") or place == Path("params.yaml") or not path.is_file():
            continue
        if pattern.search(str(place).casefold()) or any(map(pattern.search, _chunks(path))):
            yield path


def _words(shown: Any) -> set[str]:
    """Whole names and their parts, but ordinary words and short ones."""
    forms = {form.casefold() for name in shown for form in (name, *name.split())}
    return {form for form in forms if len(form) > 2 and form not in ORDINARY}


def _chunks(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as handle:
        tail = ""
        while text := handle.read(CHUNK):
            yield (tail + text).casefold()
            tail = text[-200:]


def main() -> None:
    author, sure = sys.argv[1], sys.argv[2:] == ["--yes"]
    try:
        left = forget(Path(), author, sure=sure, say=lambda line: print(f"forget: {line}"))
    except ParleyError as error:
        sys.exit(f"forget: {error}")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
