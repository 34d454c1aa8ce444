"""sharegpt: rows of `conversations`, each turn from/value (or role/content), with `system` and `tools` beside them.

The format of https://github.com/lm-sys/FastChat (docs/training.md) and, with tools, of
https://github.com/hiyouga/LLaMA-Factory (data/README.md). A row as it comes:

    {"id": "identity_0", "conversations": [{"from": "human", "value": "Who are you?"},
     {"from": "gpt", "value": "I am Vicuna."}], "system": "Be brief.", "tools": "[]"}
"""

from collections.abc import Iterator
from pathlib import Path

from parley.ingestion.plain import ready
from parley.ingestion.reading import Record, head_of
from parley.ingestion.rows import read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import Row, conversation_of


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has turns, and no chosen and rejected answers: those are preferences."""
    shape = shape_of(head)
    return bool({"conversations", "conversation"} & shape) and not {"chosen", "rejected"} & shape


def read(path: Path, name: str, *, as_rows: bool = False) -> Iterator[Record]:
    """Every row. as_rows: the plain ones as they are written."""
    faster = ready(shape_of(head_of(path))) if as_rows else None
    return read_rows(path, name, Row, conversation_of, faster=faster)
