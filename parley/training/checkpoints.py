"""Checkpoints: what a killed training run goes on from, and nothing else.

They lie outside DVC's outputs (DVC clears those before a run), in .checkpoints/<fingerprint>/ of the main
checkout, where the fingerprint is that of everything the result depends on. A checkpoint counts only with its
manifest.json, written last: {"schema": 1, "files": {"optimizer.pt": "<sha256>", …}}. Trainer itself would
go on from a checkpoint with a flipped byte, without its optimizer, or from other data, and say nothing.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parley.errors import ParleyError
from parley.files import dump_json, read_json, sha256_file, write_json

_KEPT = 2  # checkpoints: the newest, and one more should it turn out damaged


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Hex sha256 of named JSON values: settings, and hashes of data, base, code and versions."""
    return hashlib.sha256(dump_json(dict(parts)).encode()).hexdigest()


def folder_of(home: Path, parts: Mapping[str, Any]) -> Path:
    """Where the checkpoints of the run lie that `parts` name."""
    return home / ".checkpoints" / fingerprint(parts)[:32]


@contextlib.contextmanager
def checkpoints(home: Path, parts: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of the run that `parts` name, below home/.checkpoints, locked while the block runs.

    Says on stderr when only another run's checkpoints are there, and what is different about it. A folder that
    holds no checkpoint when the block ends is removed.
    Raises ParleyError if a live process holds the folder.
    """
    folder = folder_of(home, parts)
    if not folder.exists():
        _tell_of_others(folder.parent, parts)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        write_json(folder / "run.json", {"parts": dict(parts)})
        _clear_unfinished(folder)
        try:
            yield folder
        finally:
            if not _sealed(folder):
                remove(folder)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose files are those of its manifest. A damaged one is named, and removed."""
    for checkpoint in reversed(_sealed(folder)):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        print(f"train: checkpoint {checkpoint} is damaged ({fault}): skipped and removed", file=sys.stderr)
        shutil.rmtree(checkpoint)
    return None


def seal(checkpoint: Path) -> None:
    """Makes a finished folder count: fsyncs and sums its files, writes the manifest, removes older checkpoints."""
    sums = {}
    for file in _files(checkpoint):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        sums[file.relative_to(checkpoint).as_posix()] = sha256_file(file)
    write_json(checkpoint / "manifest.json", {"files": sums})
    for old in _sealed(checkpoint.parent)[:-_KEPT]:
        shutil.rmtree(old)


def remove(folder: Path) -> None:
    """Removes a finished run's folder, and .checkpoints when it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def _files(checkpoint: Path) -> list[Path]:
    return sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != "manifest.json")


def _sealed(folder: Path) -> list[Path]:
    """Checkpoints with a manifest, by step."""
    found = [path.parent for path in folder.glob("checkpoint-*/manifest.json")]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]))


def _fault(checkpoint: Path) -> str | None:
    """What is wrong with a sealed checkpoint, or None."""
    try:
        expected = read_json(checkpoint / "manifest.json").get("files")
    except ParleyError:
        return "manifest.json cannot be read"
    if not isinstance(expected, dict):
        return "manifest.json names no files"
    present = {file.relative_to(checkpoint).as_posix(): file for file in _files(checkpoint)}
    for name, sha256 in sorted(expected.items()):
        if name not in present:
            return f"{name} is missing"
        if sha256_file(present[name]) != sha256:
            return f"{name} has changed"
    return None


def _clear_unfinished(folder: Path) -> None:
    for path in folder.glob("checkpoint-*"):
        if not (path / "manifest.json").exists():
            shutil.rmtree(path)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """An flock, which the kernel frees when its process dies; the file says whose it is."""
    with (folder / "lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise ParleyError(
                f"{folder} is in use by another run ({handle.read().strip() or 'unknown process'}): "
                "wait for it, or end it, and run again"
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def _tell_of_others(home: Path, parts: Mapping[str, Any]) -> None:
    for path in sorted(home.glob("*/run.json")):
        with contextlib.suppress(ParleyError):
            if not _sealed(path.parent):
                continue
            other = read_json(path)["parts"]
            here = json.loads(dump_json(dict(parts)))
            changed = [name for name in sorted(here) if other.get(name) != here[name]]
            print(
                f"train: starts afresh: {path.parent} is of another run ({', '.join(changed)} differ). "
                "Its checkpoints stay; remove the folder if that run is given up",
                file=sys.stderr,
            )
