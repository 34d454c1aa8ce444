from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.encoding import examples
from parley.encoding.examples import Example, read_examples, write_examples
from parley.errors import ParleyError

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=5)
ROWS = st.lists(st.builds(Example, id=st.text(max_size=5), input_ids=IDS, labels=IDS), max_size=5)


@settings(max_examples=30)
@given(ROWS)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Example]) -> None:
    path = tmp_path_factory.mktemp("examples") / "train.parquet"
    assert write_examples(path, iter(rows)) == len(rows)
    assert list(read_examples(path)) == rows


def test_same_rows_are_the_same_bytes_and_groups_follow_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "_GROUP", 2)
    rows = [Example(f"c{n}", [n, n + 1], [-100, n + 1]) for n in range(5)]
    for name in ("a", "b"):
        write_examples(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.ParquetFile(tmp_path / "a").num_row_groups == 3
    assert list(read_examples(tmp_path / "a")) == rows


def test_another_schema_is_refused_by_name(tmp_path: Path) -> None:
    table = pa.table({"id": ["c1"]}).replace_schema_metadata({"schema": "2"})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(ParleyError, match=r"train.parquet has schema 2; this parley reads 1"):
        list(read_examples(tmp_path / "train.parquet"))


def test_missing_and_foreign_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="is not there: run `dvc repro`"):
        list(read_examples(tmp_path / "train.parquet"))
    (tmp_path / "train.parquet").write_text("no parquet at all")
    with pytest.raises(ParleyError, match="is not a Parquet file"):
        list(read_examples(tmp_path / "train.parquet"))


def test_nothing_is_published_when_a_row_fails(tmp_path: Path) -> None:
    def rows() -> list[Example]:
        yield Example("c1", [1], [1])
        raise KeyError("row")

    with pytest.raises(KeyError):
        write_examples(tmp_path / "train.parquet", rows())
    assert list(tmp_path.iterdir()) == []
