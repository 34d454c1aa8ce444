"""Ids stand once after the join, the first row keeps its own, and rows are otherwise as they were."""

from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.ingestion import numbering
from parley.jsonl import rows_onto

ids = st.sampled_from(["x", "x-2", "x-3", "x-2-2", "y", "é"])


def joined(files: list[list[str]]) -> list[dict[str, str]]:
    with TemporaryDirectory() as folder:
        parts = []
        for number, file in enumerate(files):
            path = Path(folder) / str(number)
            with rows_onto(path) as add:
                for id in file:
                    add({"schema": 1, "id": id, "group": id, "was": id})
            parts.append((path, array("I", map(numbering.checksum, file))))
        target = Path(folder) / "rows.jsonl"
        numbering.join_rows(parts, target)
        assert [path.name for path in Path(folder).iterdir()] == ["rows.jsonl"]
        return [msgspec.json.decode(line) for line in target.read_bytes().splitlines()]


@given(st.lists(st.lists(ids, max_size=6), max_size=4))
@settings(max_examples=200)
def test_every_id_stands_once_and_the_first_of_each_keeps_it(files: list[list[str]]) -> None:
    rows = joined(files)
    flat = [id for file in files for id in file]
    assert [row["was"] for row in rows] == flat
    assert len({row["id"] for row in rows}) == len(rows)
    for place, row in enumerate(rows):
        assert row["group"] == row["id"]
        assert (row["id"] == row["was"]) == (row["was"] not in flat[:place])


def test_ids_of_one_checksum_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "checksum", lambda id: len(id))
    assert [row["id"] for row in joined([["a", "b"], ["c", "a"]])] == ["a", "b", "c", "a-2"]
