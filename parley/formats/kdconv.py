"""kdconv: dialogues of two people about what they know, as KdConv has them.

https://github.com/thu-coai/KdConv (2020), Chinese. Who speaks is not said: the two take turns, and the second is
taken for the assistant. The facts beside a message are left out. A row as it comes:

    {"name": "film", "messages": [{"message": "知道这部电影吗？"}, {"attrs": [], "message": "知道呀。"}]}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation, Turn
from parley.ingestion.reading import Record
from parley.ingestion.rows import read_rows
from parley.ingestion.shapes import shape_of


class Said(msgspec.Struct, gc=False):
    """One message."""

    message: str


class Row(msgspec.Struct, gc=False):
    """One dialogue as it comes."""

    messages: list[Said]
    id: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has messages that are a `message` without author or role."""
    shape = shape_of(head)
    return "messages[].message" in shape and not {"messages[].role", "messages[].author", "messages[].id"} & shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every dialogue."""
    return read_rows(path, name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    turns = (Turn("assistant" if number % 2 else "user", said.message) for number, said in enumerate(row.messages))
    return Conversation(id, tuple(turns), group=id, source=source)
