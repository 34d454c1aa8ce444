"""A raw file written again without a person: part of `make forget`.

{"author": {"id": "7"}, "content": "hi"}  goes;  {"author": {"id": "8"}, "content": "> hi\\nAna said"}  stays, as
{"author": {"id": "8"}, "content": "<name> said"}.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from parley.conversion.people import People, without_quotes
from parley.conversion.redaction import NOBODY, names
from parley.errors import ParleyError
from parley.files import publish
from parley.formats import whatsapp
from parley.ingestion.reading import head_of, lines_of
from parley.ingestion.tables import cells_of


def rewrite(path: Path, author: str, people: People) -> bool:
    """Writes a text file without the person's messages; False if none could be told, and only their names are gone."""
    replace = names({author: people.names[author]}, {})

    def hide(text: str) -> str:
        return replace(without_quotes(text, people.unquotable))[0]

    if path.suffix.lower() in (".csv", ".tsv"):
        _write(path, _rows_of_others(path, {author, *people.names[author]}, hide))
    elif whatsapp.recognises(head_of(path), path.name):
        _write(path, _lines_of_others(path, author, hide))
    elif found := _values(path):
        values, indent = found
        others = (_without(value, author, hide) for value in values if not _is_theirs(value, author))
        _write(path, (json.dumps(value, ensure_ascii=False, indent=indent) + "\n" for value in others))
    else:
        _write(path, (hide(line.rstrip("\r\n")) + "\n" for line in lines_of(path)))
        return False
    return True


def rename(path: Path, author: str, people: People) -> None:
    """Calls a file that is called after the person after nobody."""
    shown = names({author: people.names[author]}, {})(path.name)[0].replace(NOBODY, "somebody")
    place = path.with_name(shown)
    if place != path:
        number = 2
        while place.exists():
            place, number = path.with_name(f"{number} {shown}"), number + 1
        path.rename(place)


def _values(path: Path) -> tuple[list[Any], int | None] | None:
    """(the values of a JSON file or of its lines, how far to indent each); None if it is neither."""
    document = path.read_bytes()
    try:
        return [json.loads(document)], 2
    except ValueError:
        try:
            return [json.loads(line) for line in document.splitlines() if line.strip()], None
        except ValueError:
            return None


def is_text(path: Path) -> bool:
    """Whether a search can look into the file: UTF-8 without NUL."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return b"\0" not in start


def _write(path: Path, texts: Iterable[str]) -> None:
    with publish(path) as made, made.open("w", encoding="utf-8", newline="") as handle:
        handle.writelines(texts)


def _rows_of_others(path: Path, theirs: set[str], hide: Callable[[str], str]) -> Iterator[str]:
    """The rows of a table none of whose cells is the person."""
    delimiter, rows = cells_of(path, tab=path.suffix.lower() == ".tsv")
    row = io.StringIO()
    for cells in rows:
        if not theirs & set(cells):
            csv.writer(row, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerow(map(hide, cells))
            yield row.getvalue()
            row.seek(0)
            row.truncate()


def _lines_of_others(path: Path, author: str, hide: Callable[[str], str]) -> Iterator[str]:
    """The lines of a chat of WhatsApp but for the person's messages."""
    try:
        records = list(whatsapp.read(path, path.name, date_order="auto"))
    except ParleyError:  # its dates fit both orders, and don't matter here
        records = list(whatsapp.read(path, path.name, date_order="day_first"))
    starts = {int(record.source.rpartition(":")[2]): getattr(record, "author", "") for record in records}
    writer = ""
    for number, line in enumerate(lines_of(path), start=1):
        writer = starts.get(number, writer)
        if writer != author:
            yield hide(line.rstrip("\r\n")) + "\n"


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
