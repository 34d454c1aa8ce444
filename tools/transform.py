"""One transform on a file: python -m tools.transform NAME FILE OUT [option=value ...]

FILE is any file that ingest reads as conversations; OUT gets ShareGPT rows, which parley and others read. Options that
are not given are those of params.yaml. What is dropped is counted on the last line.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from parley.conversation import Conversation, Dropped, to_sharegpt
from parley.files import publish
from parley.ingestion.inputs import files_of, format_of
from parley.ingestion.reading import Rejected
from parley.params import Section, checked, read_yaml
from parley.plugins import plugin
from tools import told


def conversations(path: Path, dropped: Counter[str]) -> Iterator[Conversation]:
    """The conversations of a file or of a folder's files; rows that are none are counted."""
    for file, name in files_of(Path(), str(path)):
        for record in plugin("formats", format_of(file, name, "auto"), key="ingest.format").read(file, name):
            if isinstance(record, Conversation):
                yield record
            elif isinstance(record, Rejected):
                dropped[record.code] += 1


def main(root: Path, name: str, source: Path, out: Path, given: list[str]) -> None:
    module = plugin("transforms", name, key="transform")
    options = dict(read_yaml(root / "params.yaml").get("transforms", {}).get(name) or {})
    options |= {
        key: YAML(typ="safe", pure=True).load(value) for key, _, value in (text.partition("=") for text in given)
    }
    settings = checked(getattr(module, "Params", Section), options, place=name).model_dump()
    dropped: Counter[str] = Counter()
    rows = 0
    with publish(out) as made, made.open("w", encoding="utf-8") as handle:
        for conversation in conversations(source, dropped):
            try:
                for found in module.apply(conversation, **settings):
                    handle.write(json.dumps(to_sharegpt(found), ensure_ascii=False) + "\n")
                    rows += 1
            except Dropped as reason:
                dropped[reason.reason] += 1
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    print(f"{name}: {rows} conversations in {out}; dropped: {listed or 'none'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a file's stem in parley/transforms")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("options", nargs="*", help="such as mode=keep")
    arguments = parser.parse_args()
    with told("transform"):
        main(Path(), arguments.name, arguments.source, arguments.out, arguments.options)
