"""Examples on disk: encoded conversations as Parquet, one row each, the same rows the same bytes.

    id: "c42-3"   input_ids: [1, 88, 3, ...]   labels: [-100, -100, 3, ...]   (int32)   weights: null   (or float32)

The file's metadata say `schema: 1`; another number is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from parley.errors import ParleyError
from parley.files import SCHEMA, publish

_GROUP = 4096  # rows that are in memory at once


@dataclass(frozen=True, slots=True)
class Example:
    """One encoded conversation. labels: input_ids where something is trained, else -100; not shifted."""

    id: str  # the conversation's
    input_ids: list[int]
    labels: list[int]
    weights: list[float] | None = None  # one a token: what it counts in the loss; below 0 it is made unlikely


def write_examples(path: Path, rows: Iterable[Example]) -> int:
    """Publishes the rows, and returns how many they were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))]
    fields.append(("weights", pa.list_(pa.float32())))
    schema = pa.schema(fields, metadata={"schema": str(SCHEMA)})
    remaining, count = iter(rows), 0
    with publish(path) as made, pq.ParquetWriter(made, schema, compression="zstd") as writer:
        while group := list(islice(remaining, _GROUP)):
            columns = {name: [getattr(row, name) for row in group] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))
            count += len(group)
    return count


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of a file that `write_examples` made, in its order."""
    for batch in _batches(path):
        for row in batch.to_pylist():
            yield Example(**row)


def token_counts(path: Path) -> Iterator[int]:
    """How many tokens each example of a file has, in its order; the tokens themselves are not made into Python's."""
    import pyarrow.compute as pc

    for batch in _batches(path, ["input_ids"]):
        yield from pc.list_value_length(batch.column(0)).to_pylist()


def _batches(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise ParleyError(f"{path} is not there: run `dvc repro`, which makes it") from None
    except pa.ArrowInvalid:
        raise ParleyError(f"{path} is not a Parquet file: remove it and run `dvc repro`") from None
    with file:
        found = (file.schema_arrow.metadata or {}).get(b"schema", b"none").decode()
        if found != str(SCHEMA):
            raise ParleyError(f"{path} has schema {found}; this parley reads {SCHEMA}: make it again with `dvc repro`")
        yield from file.iter_batches(_GROUP, columns=columns)
