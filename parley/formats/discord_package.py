"""discord_package: the data package that Discord sends on request: all that its owner wrote, and nothing else.

https://support.discord.com/hc/en-us/articles/360004957991 (2026); older packages have messages.csv, and folders
without the `c`. Nobody else's words are in it, so there is nothing to answer: convert drops these messages. They
give the owner's id for `convert.target`. Next to them: Account/user.json and messages/index.json.

    messages/c1234567890/messages.json
    [{"ID": 1322667734953099307, "Timestamp": "2024-12-28 20:49:21", "Contents": "hi", "Attachments": ""}]
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
from parley.ingestion.timestamps import snowflake_time

CHATS = True

UNKNOWN = "owner"


class Row(msgspec.Struct, gc=False):
    """One message as it comes; the id is a number in JSON and text in CSV."""

    number: int | str = msgspec.field(name="ID")
    contents: str | None = msgspec.field(name="Contents", default=None)
    id: Any = None


class Owner(msgspec.Struct, gc=False):
    """Account/user.json."""

    id: str = UNKNOWN
    username: str | None = None
    global_name: str | None = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has the package's field names."""
    return {"ID", "Timestamp", "Contents"} <= shape_of(head)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every message, of the kind `own`; the folder's name is the channel."""
    owner = _owner(path)
    names = tuple(dict.fromkeys(said for said in (owner.username, owner.global_name) if said))
    channel = re.sub(r"^c(?=\d+$)", "", PurePosixPath(name).parent.name) or PurePosixPath(name).stem

    def message(row: Row, id: str, source: str) -> Message:
        number = str(row.number)
        time = snowflake_time(number)
        if time is None:
            raise RowError("E003", "'ID' is no id of Discord's, which would hold the time")
        return Message(channel, number, time, owner.id, names, row.contents or "", source, kind="own")

    yield Notice(name, "a data package holds its owner's messages only: they give an id, and nothing to learn from")
    if owner.id == UNKNOWN:
        yield Notice(name, f"no Account/user.json beside the messages: their author is called {UNKNOWN}")
    yield from read_rows(path, name, Row, message)


def _owner(path: Path) -> Owner:
    for account in sorted(path.parents[2].glob("[Aa]ccount/user.json")) if len(path.parents) > 2 else ():
        try:
            return msgspec.json.decode(account.read_bytes(), type=Owner)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            break
    return Owner()
