"""Readers to measure, each (folder, file) -> None, and the modules that are imported before the clock runs."""

import json
from collections.abc import Callable
from pathlib import Path

from bench.made import text


def stage(name: str) -> Callable[[Path, Path], None]:
    """Runs a stage of the pipeline in a folder that has its params.yaml."""

    def run(folder: Path, path: Path) -> None:
        __import__(f"stages.{name}", fromlist=["main"]).main(folder)

    return run


def by_ijson_only(folder: Path, path: Path) -> None:
    import ijson

    with path.open("rb") as file:
        for _ in ijson.items(file, "messages.item", use_float=True):
            pass


def by_ijson(folder: Path, path: Path) -> None:
    """What people say, as records of six fields on disk."""
    import ijson
    import msgspec

    encode = msgspec.json.Encoder().encode
    with path.open("rb") as file, (folder / "records.jsonl").open("wb") as out:
        for found in ijson.items(file, "messages.item", use_float=True):
            author = found["author"]
            if found["type"] in ("Default", "Reply") and not author["isBot"] and found["content"]:
                record = {key: found[key] for key in ("id", "timestamp", "content")}
                parent = found.get("reference", {}).get("messageId")
                out.write(
                    encode({**record, "author": author["id"], "name": author["name"], "reply_to": parent}) + b"\n"
                )


def by_decoder(folder: Path, path: Path) -> None:
    """The exact cuts and the typed decoding alone, to nowhere: what no reader on these two can pass."""
    from parley.formats import discord
    from parley.ingestion.json_stream import JsonArray
    from parley.ingestion.reading import pieces_of

    decode = discord._decode
    for _ in JsonArray(pieces_of(path), key="messages", where=str(path)).batches(lambda element, *_: decode(element)):
        pass


def by_json(folder: Path, path: Path) -> None:
    json.loads(path.read_bytes())


def by_json_lines(folder: Path, path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


def by_datasets(folder: Path, path: Path) -> None:
    import datasets

    datasets.load_dataset("json", data_files=str(path), cache_dir=str(folder / "datasets"))


def by_pandas(folder: Path, path: Path) -> None:
    import pandas

    for _ in pandas.read_json(path, lines=True, chunksize=10_000):
        pass


def near(folder: Path, path: Path) -> None:
    """100,000 conversations, one in twenty a copy of the one before with a word more; the finds, to the last line."""
    import random

    from parley.validation.near import Near

    draw, found, said = random.Random(3), Near(0.85), ""
    for number in range(100_000):
        said = f"{said} indeed" if number % 20 == 0 else text(draw, 150)
        found.add(said)
    (folder / "found").write_text(str(len(found.duplicates())))


READERS: dict[str, tuple[Callable[[Path, Path], None], tuple[str, ...]]] = {
    "ingest": (stage("ingest"), ("stages.ingest",)),
    "convert": (stage("convert"), ("stages.convert",)),
    "validate": (stage("validate"), ("stages.validate",)),
    "ijson": (by_ijson, ("ijson",)),
    "ijson, only read": (by_ijson_only, ("ijson",)),
    "msgspec, only read": (by_decoder, ("parley.formats.discord", "numpy")),
    "json.loads": (by_json, ()),
    "json.loads by line": (by_json_lines, ()),
    "datasets": (by_datasets, ("datasets",)),
    "pandas": (by_pandas, ("pandas",)),
    "near": (near, ("parley.validation.near",)),
}
