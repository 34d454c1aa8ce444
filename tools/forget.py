"""make forget AUTHOR=id [YES=1]: a person leaves the raw copy, every output, the caches, and comes back with none.

Without YES=1 it only says what it would do. Their messages go from the files below data/raw (JSON, tables of text,
WhatsApp's chats), and their names and what others quote of them from the rest of those files; archives and the like
are named, to be unpacked or removed.
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
from parley.conversion.identifiers import LETTER
from parley.conversion.names import ORDINARY
from parley.conversion.people import People, meet
from parley.errors import ParleyError
from parley.files import publish
from parley.ingestion.sources import may_hold_chat
from parley.jsonl import rows_of
from parley.params import read_yaml
from parley.recipes import round_trip
from parley.validation.quality import FILE
from tools import told
from tools.rewrite import is_text, rename, rewrite

MADE = ("interim", "sharegpt", "splits", "encoded", "eval", "rejects", "pseudonyms.json")
PAGES = ("report.html", "report.md", "data_report.html", "preview.html", "compare.html")
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
    made += [root / "metrics" / page for page in PAGES] + [root / name for name in CACHES]
    raw = sorted(path for path in (root / "data/raw").rglob("*") if path.is_file() and may_hold_chat(path))
    if closed := [str(path.relative_to(root)) for path in raw if not is_text(path)]:
        raise ParleyError(
            f"{', '.join(closed)}: no search can look into it: unpack it, save it as UTF-8, or remove it, and `dvc add "
            "data/raw` if you track that; then again. Nothing is changed yet"
        )
    if not sure:
        say(
            f"would rewrite the files below data/raw, add the id to convert.exclude_authors and remove "
            f"{', '.join(str(path.relative_to(root)) for path in made if path.exists())} and what DVC keeps of them; "
            "nothing is changed yet: say it with YES=1"
        )
        return []
    exclude(root / "params.yaml", author)
    for path in raw:
        if not rewrite(path, author, people):
            say(f"{path.relative_to(root)}: no export that is known, so only their names went: look at what they wrote")
        rename(path, author, people)
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
    if not author:
        raise ParleyError("AUTHOR= is missing: make forget AUTHOR=their-id-in-the-export")
    target = read_yaml(root / "params.yaml")["convert"]["target"]
    if author in (target if isinstance(target, list) else [target]):
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


def clear_dvc(root: Path) -> None:
    """DVC forgets every output but the base model's, and removes from its cache what nothing names any more."""
    lock = root / "dvc.lock"
    if lock.exists():
        content = read_yaml(lock)
        content["stages"] = {name: block for name, block in content["stages"].items() if name in KEPT_STAGES}
        with publish(lock) as made, made.open("w", encoding="utf-8") as handle:
            round_trip().dump(content, handle)
    tracked = [note for note in (root / "data").rglob("*.dvc") if note.with_suffix("").exists()]
    added = [str(note.with_suffix("").relative_to(root)) for note in tracked]
    for command in (["add", *added] if added else [], ["gc", "--workspace", "--force"]):
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
    with told("forget"):
        left = forget(Path(), author, sure=sure, say=lambda line: print(f"forget: {line}"))
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
