"""Tables as rows of JSON, so that the formats read them like any other rows: CSV, TSV, Parquet, Arrow, the Hub.

question,answer            {"question":"1+1?","answer":"2"}
1+1?,2               →
"""

import csv
import difflib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field, ValidationError

from parley.errors import ParleyError, near_misses
from parley.ingestion.reading import MAX_LINE, lines_of
from parley.params import Section, read_yaml

TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".hub")
BATCH = 1000  # rows held in memory


class Dataset(Section):
    """A .hub file: which rows of the Hugging Face Hub."""

    dataset: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")  # a branch would be another dataset tomorrow
    config: str = ""  # a part of the dataset by name; "" for its only one
    split: str = "train"


def write_rows(path: Path, suffix: str, target: Path, columns: Mapping[str, str]) -> None:
    """Writes every row of a table as a line of JSON, its columns renamed by {name in the file: new name}.

    A row of CSV that has more or fewer cells than the header becomes a list, which every format rejects.
    """
    if suffix in (".csv", ".tsv"):
        rows = _csv(path, columns, tab=suffix == ".tsv")
    elif suffix == ".hub":
        rows = _hub(path, columns)
    else:
        rows = _arrow(path, columns)
    encoder = msgspec.json.Encoder(enc_hook=str)
    with target.open("wb") as out:
        while batch := list(itertools.islice(rows, BATCH)):
            out.write(encoder.encode_lines(batch))


def _csv(path: Path, columns: Mapping[str, str], *, tab: bool) -> Iterator[Any]:
    _, rows = cells_of(path, tab=tab)
    names = _renamed(next(rows, []), columns, path)
    for cells in rows:
        if cells:
            yield dict(zip(names, cells, strict=True)) if len(cells) == len(names) else []


def cells_of(path: Path, *, tab: bool) -> tuple[str, Iterator[list[str]]]:
    """The delimiter of a CSV file, and its rows, the header first."""
    csv.field_size_limit(MAX_LINE)
    lines = lines_of(path)
    first = next(lines, "")
    delimiter = "\t" if tab else max(",;\t", key=first.count)
    return delimiter, _whole(csv.reader(itertools.chain([first], lines), delimiter=delimiter), path)


def _whole(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ParleyError(f"{path}: not CSV at line {reader.line_num} ({error}): export it again") from None


def _arrow(path: Path, columns: Mapping[str, str]) -> Iterator[Any]:
    import pyarrow
    from pyarrow import ipc, parquet

    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(b"PAR1"):
            batches: Iterable[Any] = parquet.ParquetFile(path).iter_batches(batch_size=BATCH)
        elif start == b"ARROW1":
            table = ipc.open_file(pyarrow.memory_map(str(path)))
            batches = map(table.get_batch, range(table.num_record_batches))
        else:
            batches = ipc.open_stream(pyarrow.memory_map(str(path)))
        for batch in batches:
            names = _renamed(batch.schema.names, columns, path)
            yield from batch.rename_columns(names).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ParleyError(f"{path}: not a Parquet or Arrow file ({type(error).__name__}): export it again") from None


def _hub(path: Path, columns: Mapping[str, str]) -> Iterator[Any]:
    try:
        chosen = Dataset.model_validate(read_yaml(path))
    except ValidationError as error:
        keys = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        raise ParleyError(
            f"{path}: {keys}: expected `dataset: owner/name`, `revision:` with a commit of 40 hex digits, and perhaps "
            "`config` and `split`"
        ) from None
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import datasets

    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset(
            chosen.dataset,
            chosen.config or None,
            split=chosen.split,
            revision=chosen.revision,
            # Without a network, datasets takes the newest revision of its cache, whichever was asked for.
            cache_dir=str(Path(datasets.config.HF_DATASETS_CACHE) / chosen.revision),
        )
    except (OSError, ValueError) as error:  # what datasets and its client raise for all that is not there
        raise ParleyError(
            f"{path}: no {chosen.dataset} at {chosen.revision[:12]} with split {chosen.split!r} "
            f"({type(error).__name__}): check the four names; without a network, HF_HOME must hold it"
        ) from None
    names = _renamed(rows.column_names, columns, path)
    yield from rows.rename_columns(dict(zip(rows.column_names, names, strict=True)))


def _renamed(names: list[str], columns: Mapping[str, str], path: Path) -> list[str]:
    """The columns' new names. ParleyError when none of `columns` is there or one is misspelt, or two get one name."""
    others = [name for name in names if name not in columns]
    for column in sorted(columns.keys() - set(names)):  # which may be another file's
        if difflib.get_close_matches(column, others) or len(others) == len(names):
            raise ParleyError(f"{path}: ingest.columns: no column {column!r}{near_misses(column, others)}")
    renamed = [columns.get(name, name) for name in names]
    twice = [name for number, name in enumerate(renamed) if name in renamed[:number]]
    if twice:
        raise ParleyError(f"{path}: two columns called {twice[0]!r}: rename one with ingest.columns")
    return renamed
