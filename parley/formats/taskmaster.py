"""taskmaster: dialogues of a customer and an assistant, as Google's Taskmaster has them.

https://github.com/google-research-datasets/Taskmaster (2024), TM-1 to TM-4, annotations left out. A row as it comes:

    {"conversation_id": "dlg-1", "utterances": [{"index": 0, "speaker": "USER", "text": "A table for two."}]}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation, Role, Turn
from parley.ingestion.reading import Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}


class Utterance(msgspec.Struct, gc=False):
    """One utterance; some dialogues have two of one speaker in a row."""

    speaker: str
    text: str


class Row(msgspec.Struct, gc=False):
    """One dialogue as it comes."""

    conversation_id: str
    utterances: list[Utterance]
    id: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has utterances with their speakers."""
    return {"conversation_id", "utterances[].speaker"} <= shape_of(head)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every dialogue."""
    return read_rows(path, name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    turns = []
    for number, said in enumerate(row.utterances):
        role = ROLES.get(said.speaker.lower())
        if role is None:
            raise RowError("E004", f"turn {number}: unknown speaker; expected user or assistant")
        turns.append(Turn(role, said.text))
    id = row.conversation_id or id
    return Conversation(id, tuple(turns), group=id, source=source)
