"""alpaca: rows of `instruction`, `input` and `output`, perhaps with `system` and `history`.

https://github.com/tatsu-lab/stanford_alpaca, extended in https://github.com/hiyouga/LLaMA-Factory (data/README.md).
Dolly's `context` and `response` (https://huggingface.co/datasets/databricks/databricks-dolly-15k) are the same fields.
A row as it comes:

    {"instruction": "Translate.", "input": "Hund", "output": "dog", "system": "", "history": [["hi", "hello"]]}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation, Turn
from parley.ingestion.reading import Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of


class Row(msgspec.Struct, gc=False):
    """One question and answer as they come."""

    id: Any = None
    instruction: Any = None
    input: Any = None
    context: Any = None
    output: Any = msgspec.UNSET
    response: Any = msgspec.UNSET
    system: Any = None
    history: list[tuple[str, str]] | None = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has an answer and either an instruction or an input."""
    shape = shape_of(head)
    return bool({"instruction", "input"} & shape) and bool({"output", "response"} & shape) and "messages" not in shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every row."""
    return read_rows(path, name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    """History first, then the instruction with its input beneath it; either of them may be missing."""
    question = "\n".join(text for text in (_text(row, "instruction"), _text(row, "input", "context")) if text)
    answer = row.response if row.output is msgspec.UNSET else row.output
    if answer is msgspec.UNSET or not question:
        raise RowError("E003", "missing 'output'" if question else "missing 'instruction' and 'input'")
    if not isinstance(answer, str):
        raise RowError("E005", f"'output' must be a string, got {type(answer).__name__}")
    pairs = [*(row.history or ()), (question, answer)]
    turns = [turn for asked, said in pairs for turn in (Turn("user", asked), Turn("assistant", said))]
    return Conversation(id, tuple(turns), _text(row, "system"), group=id, source=source)


def _text(row: Row, *fields: str) -> str:
    """The first of the fields that is there; "" when none is."""
    for field in fields:
        value = getattr(row, field)
        if isinstance(value, str):
            return value
        if value is not None:
            raise RowError("E005", f"'{field}' must be a string, got {type(value).__name__}")
    return ""
