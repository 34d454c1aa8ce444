"""discord_csv: one channel as DiscordChatExporter writes it with `--format Csv`: second best.

https://github.com/Tyrrrz/DiscordChatExporter, DiscordChatExporter.Core/Exporting/CsvMessageWriter.cs (March 2026).
The channel's id stands in the file's name only: `Guild - general [1234567890].csv`. A row as it comes:

    "AuthorID","Author","Date","Content","Attachments","Reactions"
    "4","ann","2024-12-28T20:49:21.9910000+00:00","hi","",""
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from parley.conversation import Message
from parley.ingestion.reading import Notice, Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.timestamps import milliseconds

CHATS = True

CHANNEL = re.compile(r"\[(\d{15,20})\]")
# What Discord writes by itself looks like speech here; only words that nobody types are told apart.
SYSTEM = re.compile(
    r"Joined the server\.|Pinned a message\.|Started a thread\.|Changed the channel icon\.|Left the group\.|"
    r"Started a call that lasted \d+ minutes\."
)


class Row(msgspec.Struct, gc=False):
    """One message as it comes."""

    author: str = msgspec.field(name="AuthorID")
    date: str = msgspec.field(name="Date")
    content: str = msgspec.field(name="Content")
    shown: str = msgspec.field(name="Author", default="")
    attachments: str = msgspec.field(name="Attachments", default="")
    id: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the columns are the exporter's; a table reaches a format as rows of JSON."""
    return {"AuthorID", "Author", "Date", "Content"} <= shape_of(head)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every message. Its id is its time and, of several at one time, its number: a second export gives the same."""
    channel = CHANNEL.search(PurePosixPath(name).name)
    last, count = 0, 0

    def message(row: Row, id: str, source: str) -> Message:
        nonlocal last, count
        time = milliseconds(row.date)
        if time is None:
            raise RowError("E003", "no date with an offset from UTC")
        last, count = time, count + 1 if time == last else 0
        return Message(
            channel=channel[1] if channel else PurePosixPath(name).stem,
            id=f"{time}-{count:03}",
            time=time,
            author=row.author,
            names=(row.shown.removesuffix("#0000"),),
            text=row.content,
            source=source,
            kind=_kind(row),
        )

    yield Notice(
        name,
        "a CSV export says nothing of replies, bots, forwards and message ids: bots count as people, and a JSON "
        "export of the same channel would double it. Export with `--format Json` if you can",
    )
    yield from read_rows(path, name, Row, message)


def _kind(row: Row) -> str:
    if not row.content.strip():
        return "attachment" if row.attachments else "empty"
    return "system:csv" if SYSTEM.fullmatch(row.content.strip()) else "message"
