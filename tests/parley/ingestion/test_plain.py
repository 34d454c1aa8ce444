"""Plain rows are written as the long way writes them, byte for byte."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.conversation import Conversation, SharegptRow, to_sharegpt
from parley.files import SCHEMA
from parley.formats import openai, sharegpt
from parley.ingestion.turns import ROLES, Part, Row

texts = st.sampled_from(["hi", "", "\0", "é😀\n", "\\u0000", '{"name": "f", "arguments": {}}'])
odd = st.sampled_from([None, 0, 1.5, [], {}, "x", True, [{"type": "text", "text": "a"}], {"a": "b"}])
names = st.sampled_from([*ROLES, "alien"])


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


turns = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(fields(Part), odd), "from": names, "value": texts, "other": odd}
) | st.fixed_dictionaries({"role": names, "content": texts}, optional=dict.fromkeys(["weight", "tool_calls"], odd))
plain = st.fixed_dictionaries({"from": names, "value": texts}) | st.fixed_dictionaries(
    {"role": names, "content": texts}
)
rows = st.fixed_dictionaries(
    {"conversations": st.lists(plain, max_size=4) | st.lists(turns, max_size=4) | odd},
    optional={
        **dict.fromkeys(fields(Row)[2:], odd),
        "system": texts,
        "tools": texts | st.just("null"),
        "id": texts | odd,
    },
)


def written(path: Path, format: Any, *, as_rows: bool) -> list[bytes]:
    found = []
    for record in format.read(path, path.name, as_rows=as_rows):
        row = {"schema": SCHEMA, **to_sharegpt(record)} if isinstance(record, Conversation) else record
        found.append(msgspec.json.encode(row))
    return found


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from(["conversations", "messages"]), st.booleans())
@settings(max_examples=400)
def test_both_ways_give_the_same_bytes(drawn: list[dict[str, Any]], key: str, lines: bool) -> None:
    drawn = [{key if name == "conversations" else name: value for name, value in row.items()} for row in drawn]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text("\n".join(map(json.dumps, drawn)) if lines else json.dumps(drawn))
        for format in (sharegpt, openai):
            assert written(path, format, as_rows=True) == written(path, format, as_rows=False)


@pytest.mark.parametrize(
    ("format", "key", "turn"),
    [
        (sharegpt, "conversations", {"from": "human", "value": "hi"}),
        (openai, "messages", {"role": "user", "content": "hi"}),
    ],
)
def test_plain_rows_never_become_conversations(tmp_path: Path, format: Any, key: str, turn: dict[str, str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({key: [turn], "other": 5}) + "\n" + json.dumps({key: [turn | {"weight": 0}]}))
    first, second = format.read(path, path.name, as_rows=True)
    assert isinstance(first, SharegptRow)
    assert isinstance(second, Conversation)
    assert second.turns[0].weight == 0
