"""Files that are either whole or absent: write beside, fsync, rename."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from parley.errors import ParleyError

SCHEMA = 1  # of every JSON and JSONL format that is parley's own
_SCRATCH = ".part"  # end of the folders in which outputs grow


@contextlib.contextmanager
def publish(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`; what was written there becomes `target` if the block succeeds.

    The block decides whether it makes a file or a folder there; a file never replaces a folder. After an
    error (Ctrl-C, a full disk) nothing is left, and an older `target` is untouched. What a killed process
    left goes with the next `publish` into the same folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".*{_SCRATCH}"):
        _remove_dead(left)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_SCRATCH, dir=target.parent))
    lock = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held while this process lives
        made = scratch / target.name
        yield made
        _sync(made)
        if target.is_dir() and not target.is_symlink():
            if not made.is_dir():
                raise ParleyError(f"{target} is a folder, and no file replaces one: name a file, or remove it")
            # A folder can't be replaced by rename: the old one steps aside into the scratch folder.
            target.rename(scratch / "old")
        made.replace(target)
        _sync_folder(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _remove_dead(scratch: Path) -> None:
    """Removes a scratch folder unless a living process holds it."""
    with contextlib.suppress(OSError):  # held, or just gone
        lock = os.open(scratch, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(scratch)
        finally:
            os.close(lock)


def _sync(path: Path) -> None:
    """fsync a file, or every file and folder below a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    for file in files:
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if path.is_dir():
        _sync_folder(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_tree(source: Path, target: Path, *, leave: Sequence[str] = ()) -> None:
    """Folder `target` with the files of `source`: hard links, or copies where the file system has none."""

    def link(file: str, place: str) -> None:
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)

    shutil.copytree(source, target, copy_function=link, ignore=shutil.ignore_patterns(*leave), dirs_exist_ok=True)


def append_file(source: Path, out: IO[bytes]) -> None:
    """Writes all of `source` at the end of `out`, which was not opened to append: the kernel, which copies, refuses."""
    out.seek(0, os.SEEK_END)
    with source.open("rb") as file:
        while os.sendfile(out.fileno(), file.fileno(), None, 1 << 30):
            pass


def dump_json(value: object) -> str:
    """Stable JSON: keys sorted, two spaces, no NaN, one newline at the end."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Publish `value` as stable JSON, with `schema` added."""
    with publish(path) as made:
        made.write_text(dump_json({"schema": SCHEMA, **value}), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of parley's own; another schema number is refused by name."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ParleyError(f"{path} is not there: run `dvc repro`, which makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ParleyError(f"{path} is not JSON ({type(error).__name__}): remove it and run `dvc repro`") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise ParleyError(f"{path} has schema {found!r}; this parley reads {SCHEMA}: make it again with `dvc repro`")
    return value


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for piece in iter(lambda: handle.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex sha256 over the names and bytes of every file below `path` (or of the one file)."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()
