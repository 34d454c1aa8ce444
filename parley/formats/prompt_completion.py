"""prompt_completion: rows of a prompt and its completion, as text or as messages.

https://huggingface.co/docs/trl/dataset_formats (TRL 1.16); `response` is read as a completion too. Text is taken as it
is, with the spaces at its ends. A row as it comes:

    {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "hello"}]}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation
from parley.ingestion.reading import Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import Part, conversation_of
from parley.ingestion.turns import Row as Turns


class Row(msgspec.Struct, gc=False):
    """One prompt and completion as they come."""

    id: Any = None
    prompt: str | list[Part] | None = None
    completion: str | list[Part] | None = None
    response: str | list[Part] | None = None
    system: str | None = None
    tools: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has a prompt and what follows it."""
    shape = shape_of(head)
    return "prompt" in shape and bool({"completion", "response"} & shape) and not {"chosen", "instruction"} & shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every row."""
    return read_rows(path, name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    completion = row.response if row.completion is None else row.completion
    if row.prompt is None or completion is None:
        raise RowError("E003", f"missing '{'prompt' if row.prompt is None else 'completion'}'")
    parts = [*_parts(row.prompt, "user"), *_parts(completion, "assistant")]
    return conversation_of(Turns(messages=parts, system=row.system, tools=row.tools), id, source)


def _parts(value: str | list[Part], role: str) -> list[Part]:
    return [Part(role=role, content=value)] if isinstance(value, str) else value
