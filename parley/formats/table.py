"""table: rows whose columns are called what they hold: conversations of one exchange, or messages.

CSV, TSV, Parquet and Arrow files reach every format as rows of JSON. If their columns have other names,
`ingest.columns` in params.yaml maps those names to the ones below (or to those of any other format):

    {"system": "Be brief.", "user": "hi", "assistant": "hello"}
    {"channel": "team", "author": "u4", "name": "Ann", "time": "2024-12-28T20:49:21+00:00", "text": "hi"}

`time` has an offset from UTC, or is in seconds or milliseconds since 1970. `id`, `channel`, `name` and
`reply_to` (an id) may be missing.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from parley.conversation import Conversation, Message, Turn
from parley.ingestion.reading import Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.timestamps import milliseconds

YEAR_5138 = 1e11  # as seconds; as milliseconds it is the year 1973
Cell = str | int | float | None

CHATS = True


class Row(msgspec.Struct, gc=False):
    """One row as it comes, of either kind."""

    id: Cell = None
    system: str | None = None
    user: str | None = None
    assistant: str | None = None
    channel: Cell = None
    author: Cell = None
    name: str | None = None
    time: Cell = None
    text: str | None = None
    reply_to: Cell = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first row has the columns of an exchange or of a message."""
    shape = shape_of(head)
    return {"user", "assistant"} <= shape or {"author", "time", "text"} <= shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every row."""
    stem = PurePosixPath(name).stem

    def record(row: Row, id: str, source: str) -> Conversation | Message:
        id = str(row.id) if row.id not in (None, "") else id
        if row.author is not None:
            return _message(row, id, stem, source)
        if row.user is None or row.assistant is None:
            raise RowError("E003", "neither 'user' and 'assistant' nor 'author', 'time' and 'text'")
        turns = (Turn("user", row.user), Turn("assistant", row.assistant))
        return Conversation(id, turns, row.system or "", group=id, source=source)

    return read_rows(path, name, Row, record)


def _message(row: Row, id: str, stem: str, source: str) -> Message:
    time = _time(row.time)
    if time is None:
        raise RowError("E003", "'time' has no offset from UTC and is no number of seconds since 1970")
    return Message(
        channel=str(row.channel or stem),
        id=id,
        time=time,
        author=str(row.author),
        names=(row.name,) if row.name else (),
        text=row.text or "",
        source=source,
        reply_to=str(row.reply_to) if row.reply_to else None,
        kind="message" if row.text and not row.text.isspace() else "empty",
    )


def _time(value: Cell) -> int | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return milliseconds(value)
    if not abs(number) < 1e15:
        return None
    return round(number * 1000 if abs(number) < YEAR_5138 else number)
