"""What rejects call a chat's file, whose name is often a person's; data/interim/files.jsonl says which it is."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import msgspec

from parley.ingestion.reading import Rejected

Add = Callable[[Any], None]


def without_names(reject: Add) -> Add:
    """Lists rejects of a chat with its file's alias, in the ids too that are made from the file's name."""

    def told(record: Rejected) -> None:
        shown = alias(record.source)
        stem, hidden = (PurePosixPath(source.rpartition(":")[0]).stem for source in (record.source, shown))
        reject(msgspec.structs.replace(record, source=shown, id=record.id.replace(stem, hidden)))

    return told


@cache
def alias_of(name: str) -> str:
    """The same for the same name, and it keeps its ending."""
    return f"chat-{hashlib.sha256(name.encode()).hexdigest()[:8]}{PurePosixPath(name).suffix}"


def alias(source: str) -> str:
    """A chat's file:line as rejects show it."""
    name, _, line = source.rpartition(":")
    return f"{alias_of(name)}:{line}"
