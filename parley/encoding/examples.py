"""Examples on disk: encoded conversations as Parquet, one row each, the same rows the same bytes.

    id: "c42-3"   input_ids: [1, 88, 3, ...]   labels: [-100, -100, 3, ...]   (int32)   weights: null   (or float32)

The file's metadata say `schema: 1`; another number is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.errors import ParleyError
from parley.files import SCHEMA, publish

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP = 4096  # rows that are in memory at once


@dataclass(frozen=True, slots=True)
class Example:
    """One encoded conversation. labels: input_ids where something is trained, else -100; not shifted."""

    id: str  # the conversation's
    input_ids: list[int]
    labels: list[int]
    weights: list[float] | None = None  # one a token: what it counts in the loss; below 0 it is made unlikely


def write_examples(path: Path, rows: Iterable[Example], facts: Mapping[str, str | int] | None = None) -> int:
    """Publishes the rows, and returns how many they were. facts: what `facts_of` will say of the file."""
    remaining = iter(rows)

    def columns() -> dict[str, Any]:
        group = list(islice(remaining, _GROUP))
        return {name: [getattr(row, name) for row in group] for name, _ in _schema()}

    return write_batches(path, iter(lambda: packed(columns()), b""), facts)


def packed(columns: Mapping[str, Sequence[Any]], used: Sequence[bool] = ()) -> bytes:
    """Examples as Arrow has them, for another process or `write_batches`; nothing for none.

    columns: each field of the Examples. used: whether an example is taken; () takes all.
    """
    import pyarrow as pa

    arrays = [pa.array(columns[name], kind) for name, kind in _schema()]
    batch = pa.record_batch(arrays, schema=pa.schema(_schema()))
    batch = batch if all(used) else batch.filter(pa.array(used))
    return batch.serialize().to_pybytes() if len(batch) else b""


def unpacked(batch: bytes) -> list[Example]:
    """The examples of a batch that was packed."""
    import pyarrow as pa

    rows = pa.ipc.read_record_batch(pa.py_buffer(batch), pa.schema(_schema())).to_pylist() if batch else []
    return [Example(**row) for row in rows]


def write_batches(path: Path, batches: Iterable[bytes], facts: Mapping[str, str | int] | None = None) -> int:
    """`write_examples` for rows that are packed already; each batch is read and written at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {"schema": SCHEMA, **(facts or {})}
    schema = pa.schema(_schema(), metadata={name: str(fact) for name, fact in metadata.items()})
    count = 0
    with publish(path) as made, pq.ParquetWriter(made, schema, compression="zstd") as writer:
        for batch in filter(None, batches):
            rows = pa.ipc.read_record_batch(pa.py_buffer(batch), pa.schema(_schema()))
            writer.write_batch(rows.replace_schema_metadata(schema.metadata))
            count += len(rows)
    return count


def _schema() -> "list[tuple[str, pa.DataType]]":
    import pyarrow as pa

    numbers = pa.list_(pa.int32())
    return [("id", pa.string()), ("input_ids", numbers), ("labels", numbers), ("weights", pa.list_(pa.float32()))]


def facts_of(path: Path) -> dict[str, str]:
    """What the file was made with: max_length (tokens), loss and the like."""
    import pyarrow.parquet as pq

    found = pq.read_schema(path).metadata or {}
    return {name.decode(): fact.decode() for name, fact in found.items() if not name.startswith(b"ARROW:")}


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
