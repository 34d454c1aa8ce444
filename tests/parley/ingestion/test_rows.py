"""Rows come out of lists, lines and single objects alike, with their lines in the file."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.ingestion.reading import HEAD, Rejected
from parley.ingestion.rows import RowError, read_rows


class Row(msgspec.Struct):
    id: Any = None
    text: str = ""
    inner: list[Any] = []


def convert(row: Row, id: str, source: str) -> Conversation:
    if row.text == "bad":
        raise RowError("E004", "no good")
    return Conversation(id, (Turn("user", row.text),), source=source)


def read(tmp_path: Path, document: str | bytes, name: str = "rows.json") -> list[tuple[str, str, str]]:
    """(source, id, text or code) of each record."""
    path = tmp_path / name
    path.write_bytes(document if isinstance(document, bytes) else document.encode())
    found = []
    for record in read_rows(path, f"sub/{name}", Row, convert):
        if isinstance(record, Conversation):
            found.append((record.source, record.id, record.turns[0].text))
        elif isinstance(record, Rejected):
            found.append((record.source, record.id, record.code))
        else:
            found.append((record.source, "", "notice"))
    return found


A, B = {"id": "a", "text": "hi"}, {"text": "ho"}


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (json.dumps([A, B]), (1, 1)),
        (json.dumps([A, B], indent=2), (2, 6)),
        (f"{json.dumps(A)}\n{json.dumps(B)}\n", (1, 2)),
        (f"\r\n{json.dumps(A)}\r\n\r\n{json.dumps(B)}", (2, 4)),
    ],
)
def test_lists_and_lines_give_the_same_rows(tmp_path: Path, document: str, lines: tuple[int, int]) -> None:
    expected = [(f"sub/rows.json:{lines[0]}", "a", "hi"), (f"sub/rows.json:{lines[1]}", "rows-2", "ho")]
    assert read(tmp_path, document) == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_rows_are_read_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, json.dumps([{"id": "ä", "text": "żółw"}], ensure_ascii=False).encode(encoding)) == [
        ("sub/rows.json:1", "ä", "żółw")
    ]


@pytest.mark.parametrize(
    "document",
    [
        '{"text": "hi"}',
        '\n{\n "text": "hi"\n}\n',
        '{"text": "hi", "inner": [\n{"text": "inner"},\n{"text": "alone on its line"}\n]}',
    ],
)
def test_a_single_object_is_one_row(tmp_path: Path, document: str) -> None:
    assert [row[1:] for row in read(tmp_path, document)] == [("rows-1", "hi")]


def test_bad_lines_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    lines = [
        b'{"text": "cut',
        b'{"text": "hi"}',
        b'{"text": NaN}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"text": 5}',
        b'["text"]',
        b'{"text": "bad"}',
        b'{"inner": ' + b"[" * 100_000,
        b'{"inner": [1e999]}',
        b'{"text": "ho"}',
    ]
    codes = [what for _, _, what in read(tmp_path, b"\n".join(lines), "rows.jsonl")]
    assert codes == [*("E001", "hi", "E001", "E001", "E017", "E017", "E002", "E002", "E004", "E001", "E001", "ho")]


def test_no_reason_quotes_the_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": {"secret": 1}}\n{"text": "secret\n{"text": ["secret"]}\n{"text": "secret\\ud800"}\n')
    records = list(read_rows(path, "rows.jsonl", Row, convert))
    assert [record.code for record in records if isinstance(record, Rejected)] == ["E002", "E001", "E002", "E017"]
    assert "secret" not in repr(records)


def test_a_list_that_does_not_end_gives_its_whole_rows_and_a_notice(tmp_path: Path) -> None:
    assert [row[2] for row in read(tmp_path, '[{"text": "hi"}, {"text": "ho"}')] == ["hi", "ho", "notice"]
    assert [row[2] for row in read(tmp_path, '[{"text": "hi"}, {"te')] == ["hi", "E001", "notice"]


def test_a_first_line_longer_than_the_head_is_one_row(tmp_path: Path) -> None:
    long = "x" * HEAD
    rows = read(tmp_path, f'{{"text": "{long}"}}\n{{"text": "hi"}}\n')
    assert [row[2] for row in rows] == [long, "hi"]


@pytest.mark.parametrize("document", ["", "text", "5", '"{}"', "\x00"])
def test_what_holds_no_rows_is_refused(tmp_path: Path, document: str) -> None:
    with pytest.raises(ParleyError, match=r"rows\.json"):
        read(tmp_path, document)
