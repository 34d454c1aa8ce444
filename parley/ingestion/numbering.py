"""Ids that stand once: rows written file by file become one file, an id that comes again with a number after it.

Which ids may come again is told from 4 bytes a row (CRC-32); only those rows are looked at.
"""

import zlib
from array import array
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from parley.files import append_file


def checksum(id: str) -> int:
    """What tells ids apart, except for one pair in four thousand million."""
    return zlib.crc32(id.encode())


def join_rows(parts: Iterable[tuple[Path, "array[int]"]], target: Path) -> None:
    """Writes the rows of all parts to `target`, and uses the parts up. Parts: file, checksums of its rows' ids.

    The second row called "x" becomes "x-2", and so does its group, if that is its id. A part without rows has no file.
    """
    parts = [(path, sums) for path, sums in parts if sums]
    sums = np.concatenate([np.frombuffer(sums, np.uint32) for _, sums in parts] or [np.empty(0, np.uint32)])
    known, counts = np.unique(sums, return_counts=True)
    again = np.isin(sums, known[counts > 1])
    names, start = _Names(known), 0
    target.touch()
    for path, mine in parts:
        marks = again[start : start + len(mine)].tobytes()
        start += len(mine)
        if not target.stat().st_size and not any(marks):
            path.replace(target)
            continue
        if any(marks):
            with path.open("rb") as file, target.open("ab") as out:
                out.writelines(names.once(line) if mark else line for line, mark in zip(file, marks, strict=True))
        else:
            with target.open("r+b") as out:
                append_file(path, out)
        path.unlink()


class _Names:
    """The ids given out so far, of those that may come again."""

    def __init__(self, known: np.ndarray) -> None:
        self._known = known  # checksums of all ids, ascending
        self._used: dict[str, int] = {}  # id -> number of the last row that was called so

    def once(self, line: bytes) -> bytes:
        """The row, with a number after its id if that was given out already."""
        row = msgspec.json.decode(line)
        id = row["id"]
        if self._used.setdefault(id, 0) == 0:
            self._used[id] = 1
            return line
        number = self._used[id] + 1
        while (name := f"{id}-{number}") in self._used or self._is_known(name):
            number += 1
        self._used[id], self._used[name] = number, 1
        group = name if row["group"] == id else row["group"]
        return msgspec.json.encode({**row, "id": name, "group": group}) + b"\n"

    def _is_known(self, id: str) -> bool:
        place = int(np.searchsorted(self._known, checksum(id)))
        return place < len(self._known) and int(self._known[place]) == checksum(id)
