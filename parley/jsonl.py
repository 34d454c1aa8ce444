"""Rows of JSON, one a line: read with their line numbers, written whole or not at all."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import jsonlines
import msgspec

from parley.errors import ParleyError
from parley.files import SCHEMA, publish

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_lines = msgspec.json.Encoder().encode_lines
_TOGETHER = 128  # rows: few, so that their memory is used again while it is in the cache


def _dumps(value: object) -> str:
    return _encode(value).decode()


@contextlib.contextmanager
def rows_into(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that appends one row; the file appears at `path` only when the block ends well.

    Each row gets `schema`. Keys are sorted, so the same rows are the same bytes.
    """
    with publish(path) as made, made.open("w", encoding="utf-8") as handle:
        writer = jsonlines.Writer(handle, dumps=_dumps)

        def add(row: Mapping[str, Any]) -> None:
            writer.write({"schema": SCHEMA, **row})

        yield add
        writer.close()


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """All rows of a file, as `rows_into` writes them."""
    with rows_into(path) as add:
        for row in rows:
            add(row)


@contextlib.contextmanager
def rows_onto(path: Path) -> Iterator[Callable[[Any], None]]:
    """A function that appends one row as it is (with its `schema`, keys in its own order), for millions of rows.

    Written in batches. Not atomic: `path` lies in a folder that `publish` makes. Without a row there is no file.
    """
    rows: list[Any] = []
    with contextlib.ExitStack() as stack:
        file: IO[bytes] | None = None

        def flush() -> None:
            nonlocal file
            file = file or stack.enter_context(path.open("ab"))
            file.write(_encode_lines(rows))
            rows.clear()

        def add(row: Any) -> None:
            rows.append(row)
            if len(rows) == _TOGETHER:
                flush()

        yield add
        if rows:
            flush()


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) for each row of a file in a format of parley's own."""
    try:
        reader = jsonlines.open(path, loads=msgspec.json.decode)
    except FileNotFoundError:
        raise ParleyError(f"{path} is not there: run `dvc repro`, which makes it") from None
    with reader:
        for number in itertools.count(1):
            try:
                row = reader.read(type=dict)
            except EOFError:
                return
            except (jsonlines.InvalidLineError, msgspec.DecodeError) as error:
                raise ParleyError(f"{path}:{number}: not a JSON row ({type(error).__name__}): make it again") from None
            if row.get("schema") != SCHEMA:
                raise ParleyError(f"{path}:{number} has schema {row.get('schema')!r}; this parley reads {SCHEMA}")
            yield number, row
