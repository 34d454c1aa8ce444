"""ShareGPT, OpenAI and Alpaca files: what each recognises, and what comes out of a row."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from parley.conversation import Conversation, Turn
from parley.formats import alpaca, discord, openai, sharegpt
from parley.ingestion.reading import Rejected

HI = (Turn("user", "hi"), Turn("assistant", "ho"))
FROM = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
ROLE = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def read(tmp_path: Path, format: ModuleType, *rows: Any) -> list[Any]:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(list(rows)))
    return list(format.read(path, path.name))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversations": FROM}, sharegpt),
        ({"id": "x", "conversation": ROLE}, sharegpt),
        ({"conversations": ROLE, "tools": "[]"}, sharegpt),
        ({"messages": ROLE}, openai),
        ({"tools": [{"messages": 1}], "messages": ROLE}, openai),
        ({"instruction": "hi", "input": "", "output": "ho"}, alpaca),
        ({"instruction": "hi", "context": "", "response": "ho"}, alpaca),
        ({"input": "hi", "output": "ho"}, alpaca),
        ({"guild": {"id": "1"}, "channel": {"id": "2"}, "messages": []}, discord),
        ({"conversations": FROM[:1], "chosen": FROM[1], "rejected": FROM[1]}, None),
        ({"chosen": ROLE, "rejected": ROLE}, None),
        ({"messages": [{"message": "hi"}]}, None),
        ({"question": "hi", "answer": "ho"}, None),
        ({"candidates": [{"text": "hi"}]}, None),
        ({"text": '{"messages": [{"role": 1}]}'}, None),
    ],
)
@pytest.mark.parametrize("shape", ["[%s]", "%s", "%s\n%s\n", "[\n%s,\n%s\n]"])
def test_each_shape_is_recognised_by_its_own_format_only(row: Any, expected: ModuleType | None, shape: str) -> None:
    text = json.dumps(row)
    head = shape.replace("%s", text).encode()
    found = [format for format in (alpaca, discord, openai, sharegpt) if format.recognises(head, "x.json")]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(("format", "key", "turns"), [(sharegpt, "conversations", FROM), (openai, "messages", ROLE)])
def test_a_row_is_a_conversation(tmp_path: Path, format: ModuleType, key: str, turns: Any) -> None:
    assert read(tmp_path, format, {"id": "a", key: turns}, {key: turns}) == [
        Conversation("a", HI, group="a", source="rows.json:1"),
        Conversation("rows-2", HI, group="rows-2", source="rows.json:1"),
    ]


def test_a_row_in_the_other_dialect_is_read_too(tmp_path: Path) -> None:
    rows = read(tmp_path, sharegpt, {"conversations": FROM}, {"conversations": ROLE}, {"messages": ROLE}, {"text": "x"})
    assert [row.turns if isinstance(row, Conversation) else row.code for row in rows] == [HI, HI, HI, "E002"]


@pytest.mark.parametrize(
    ("row", "turns", "system"),
    [
        ({"instruction": "hi", "input": "", "output": "ho"}, HI, ""),
        ({"instruction": "hi", "input": None, "output": "ho", "system": "Be brief."}, HI, "Be brief."),
        ({"instruction": "h", "input": "i", "output": "ho"}, (Turn("user", "h\ni"), HI[1]), ""),
        ({"input": "hi", "output": "ho"}, HI, ""),
        ({"instruction": "hi", "response": "ho", "history": []}, HI, ""),
        (
            {"instruction": "hi", "output": "ho", "history": [["a", "b"]]},
            (Turn("user", "a"), Turn("assistant", "b"), *HI),
            "",
        ),
        ({"instruction": "hi", "output": ""}, (HI[0], Turn("assistant", "")), ""),
    ],
)
def test_an_alpaca_row_is_a_conversation(tmp_path: Path, row: Any, turns: tuple[Turn, ...], system: str) -> None:
    assert read(tmp_path, alpaca, row) == [Conversation("rows-1", turns, system, group="rows-1", source="rows.json:1")]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"output": "ho"}, "E003"),
        ({"instruction": "hi"}, "E003"),
        ({"instruction": "hi", "output": {"a": 1}}, "E005"),
        ({"instruction": 5, "output": "ho"}, "E005"),
        ({"instruction": "hi", "output": "ho", "history": [["a"]]}, "E002"),
        ({"instruction": "hi\0", "output": "ho"}, "E017"),
    ],
)
def test_an_alpaca_row_that_is_no_conversation_has_a_code(tmp_path: Path, row: Any, code: str) -> None:
    (record,) = read(tmp_path, alpaca, row)
    assert isinstance(record, Rejected)
    assert record.code == code
