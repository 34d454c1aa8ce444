"""qa_pairs: rows of a question and its answer.

As in https://huggingface.co/datasets/openai/gsm8k (2026). `{{name}}` and its like are kept: transforms fill them. Rows
with a `context` are refused, since the answer would be learnt without it. A row as it comes, `group` and `labels` only
where they are wanted:

    {"question": "What does {{name}} like best?", "answer": "The sea.", "group": "likes", "labels": {"topic": "taste"}}

Rows of one group, or of the same question, never fall into two splits.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation, Turn
from parley.ingestion.reading import Record
from parley.ingestion.rows import read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import labels_of


class Row(msgspec.Struct, gc=False):
    """One question and answer as they come."""

    question: str
    answer: str
    id: Any = None
    system: str | None = None
    group: str = ""
    labels: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has a question and an answer, and nothing that the question is about."""
    shape = shape_of(head)
    return {"question", "answer"} <= shape and not {"context", "choices", "options"} & shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every row."""
    return read_rows(path, name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    turns = (Turn("user", row.question), Turn("assistant", row.answer))
    group = row.group or hashlib.sha256(row.question.casefold().encode()).hexdigest()[:12]
    return Conversation(id, turns, row.system or "", group=group, source=source, labels=labels_of(row.labels))
