"""text: rows of one `text` that is a whole chat with its markers, as a chat template writes it.

Only chats: a document has no turns, and parley trains answers. Five ways to mark turns are known, the last one of
https://huggingface.co/datasets/timdettmers/openassistant-guanaco (2023). A row as it comes, and the other markers:

    {"text": "<|im_start|>user\\nhi<|im_end|>\\n<|im_start|>assistant\\nhello<|im_end|>\\n"}
    <|start_header_id|>user<|end_header_id|>    <start_of_turn>user    <|user|>    ### Human: hi
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation
from parley.ingestion.reading import Record
from parley.ingestion.rows import RowError, read_rows
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import Part, Row, conversation_of

# (what opens a turn and names its role, what ends it)
MARKERS = [
    (re.compile(marker), end)
    for marker, end in [
        (r"<\|im_start\|>(\w+)\n", "<|im_end|>"),
        (r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n", "<|eot_id|>"),
        (r"<start_of_turn>(\w+)\n", "<end_of_turn>"),
        (r"<\|(system|user|assistant)\|>\n?", ""),
        (r"### (System|Human|User|Assistant|Instruction|Response): ?\n?", ""),
    ]
]
NAMES = {"instruction": "user", "response": "assistant"}
# What may stand around the turns: marks of begin and end, and the ends that some templates leave to the tokenizer.
EDGES = re.compile(r"<\|begin_of_text\|>|<bos>|<s>|</s>|<\|end\|>|<\|endoftext\|>|<\|end_of_text\|>|<eos>")


class Text(msgspec.Struct, gc=False):
    """One chat as it comes."""

    text: str
    id: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has a text, and markers stand in it."""
    marked = head.decode(errors="ignore").replace("\\n", "\n")
    return "text" in shape_of(head) and any(marker.search(marked) for marker, _ in MARKERS)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every row."""
    return read_rows(path, name, Text, _conversation)


def _conversation(row: Text, id: str, source: str) -> Conversation:
    for marker, end in MARKERS:
        before, *pieces = marker.split(row.text)
        if not pieces:
            continue
        if EDGES.sub("", before).strip():
            raise RowError("E002", "text stands before the first turn")
        parts: list[Part] = []
        for role, said in zip(pieces[::2], pieces[1::2], strict=True):
            text, _, after = said.partition(end) if end else (EDGES.sub("", said), "", "")
            if EDGES.sub("", after).strip():
                raise RowError("E002", f"turn {len(parts)}: text stands after its end")
            parts.append(Part(role=NAMES.get(role.lower(), role.lower()), content=text.strip()))
        if not parts[-1].content and parts[-1].role == "assistant":
            parts.pop()  # an open turn, for a model to go on with
        return conversation_of(Row(messages=parts), id, source)
    raise RowError("E002", "a text without turns: no chat can be learnt from it")
