"""eou_labels: what a caller said, labelled with whether the agent should speak now or wait.

https://github.com/jameswniu/fine-tuning-turn-detection-model (2026): JSON lines, or a file with `samples`. The label
becomes the conversation's label `end_of_turn`, yes or no. Rows of one template (`tpl`) are one group. As it comes:

    {"context": "Agent: Anything else?", "text": "no, thanks", "label": "speak", "lang": "en", "tpl": "t1"}
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation, Turn
from parley.ingestion.json_stream import JsonArray
from parley.ingestion.reading import Record, head_of, pieces_of
from parley.ingestion.rows import RowError, read_rows, records_of
from parley.ingestion.shapes import shape_of

LABELS = {"speak": "yes", "wait": "no"}
_AGENT = re.compile(r"^agent:\s*", re.IGNORECASE)
_ANYONE = re.compile(r"^(?:user|caller|driver|customer):\s*", re.IGNORECASE)


class Row(msgspec.Struct, gc=False):
    """One labelled utterance as it comes."""

    text: str
    label: str
    context: str = ""
    lang: str = ""
    tpl: str = ""
    id: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record, or the first of its samples, has a text with its context and label."""
    shape = shape_of(head)
    keys = ("context", "text", "label")
    return shape.issuperset(keys) or shape.issuperset(f"samples[].{key}" for key in keys)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every labelled utterance."""
    if "samples" not in shape_of(head_of(path)):
        return read_rows(path, name, Row, _conversation)
    return records_of(JsonArray(pieces_of(path), key="samples", where=str(path)), name, Row, _conversation)


def _conversation(row: Row, id: str, source: str) -> Conversation:
    if row.label not in LABELS:
        raise RowError("E003", "'label' is neither speak nor wait")
    before = (
        Turn("assistant", _AGENT.sub("", line)) if _AGENT.match(line) else Turn("user", _ANYONE.sub("", line))
        for line in row.context.splitlines()
        if line.strip()
    )
    labels = {"end_of_turn": LABELS[row.label]} | ({"language": row.lang} if row.lang else {})
    turns = (*before, Turn("user", row.text))
    return Conversation(id, turns, group=row.tpl or id, source=source, labels=labels)
