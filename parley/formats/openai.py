"""openai: rows of `messages`, role/content, with tool calls, as fine-tuning files for OpenAI's chat models have them.

https://platform.openai.com/docs/guides/supervised-fine-tuning (2025). A row as it comes; `content` may also be a list
of text parts, and `arguments` is JSON in a string:

    {"messages": [{"role": "system", "content": "You are happy."}, {"role": "user", "content": "I fell."},
     {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
      "function": {"name": "cheer", "arguments": "{\\"times\\": 2}"}}]},
     {"role": "tool", "tool_call_id": "a", "content": "hurray hurray"}], "tools": []}
"""

from collections.abc import Iterator
from pathlib import Path

from parley.ingestion.plain import ready
from parley.ingestion.reading import Record, head_of
from parley.ingestion.rows import read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import Row, conversation_of


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record's messages have roles."""
    return "messages[].role" in shape_of(head)


def read(path: Path, name: str, *, as_rows: bool = False) -> Iterator[Record]:
    """Every row. as_rows: the plain ones as they are written."""
    faster = ready(shape_of(head_of(path))) if as_rows else None
    return read_rows(path, name, Row, conversation_of, faster=faster)
