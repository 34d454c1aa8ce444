"""The plain files of an input: folders walked, archives unpacked, tables and datasets as rows of JSON.

    chat.zip        → chat.zip/result.json, each member as if it lay in a folder of the archive's name
    rows.jsonl.gz   → rows.jsonl.gz, unpacked
    rows.parquet    → rows.parquet: JSON lines; .csv, .tsv and .arrow too; a "line" is a row of the table then
    squad.hub       → squad.hub: JSON lines of a dataset on the Hugging Face Hub, which the small YAML file names

What is unpacked lies in a scratch folder that goes when ingest ends. An archive's size, ratio, number of entries and
paths are bounded, so that none can fill the disk or write elsewhere.
"""

import contextlib
import errno
import gzip
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, cast

from parley.errors import ParleyError
from parley.ingestion.tables import TABLES, write_rows

MAX_BYTES = 1 << 36  # that one archive may hold: 64 GiB
MAX_ENTRIES = 100_000
MAX_RATIO = 200  # of unpacked to packed bytes: chats reach 30, a bomb 1000
ALWAYS_FINE = 1 << 16  # packed bytes from which the ratio counts

ASSETS = ("_Files", "__MACOSX")  # ends of folders of pictures (DiscordChatExporter's), and of the Mac's own notes
BESIDE = ("*.md", "LICENSE*", "*.dvc", "dataset_info.json", "dataset_dict.json", "state.json")  # beside chats
MEDIA = re.compile(  # that lies beside chats
    r"\.(jpe?g|png|gif|webp|heic|bmp|mp4|webm|mov|avi|mkv|3gp|mp3|ogg|oga|opus|m4a|wav|aac|tgs|pdf|vcf|ico|css|js)",
    re.IGNORECASE,
)


def files_below(top: Path, *, links_into: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """(path, name) of every file below a folder that may hold chats; the name is its path below the folder.

    links_into: folders that symbolic links may lead into; any other link raises ParleyError.
    """
    found = []
    for folder, folders, names in os.walk(top, onerror=_refuse):
        package = [
            name for name in folders if name.lower() == "messages" and (Path(folder, name, "index.json")).exists()
        ]
        if package:  # Discord's data package: nothing else in it is a chat
            folders[:], names = package, []
        elif Path(folder).name.lower() == "messages" and "index.json" in names:
            names = []
        elif "channel.json" in names and {"messages.json", "messages.csv"} & set(names):
            names = [name for name in names if name != "channel.json"]
        folders[:] = [name for name in folders if not name.startswith(".") and not name.endswith(ASSETS)]
        for path in (Path(folder) / name for name in [*names, *folders]):
            if path.is_symlink() and not any(path.resolve().is_relative_to(place.resolve()) for place in links_into):
                raise ParleyError(f"{path}: a link that leads out of {top}: copy what it names there instead")
            if path.is_dir() or not may_hold_chat(path):
                continue
            if not path.is_file():
                raise ParleyError(f"{path}: not a plain file, or a link to nothing: remove it, or put the file there")
            found.append((path, path.relative_to(top).as_posix()))
    return sorted(found, key=lambda file: file[1])


def _refuse(error: OSError) -> None:
    raise error  # os.walk would leave out what it may not read, and say nothing


def may_hold_chat(path: PurePath) -> bool:
    """Whether a file may be read, by its name: no media, nothing that lies beside chats."""
    return not (
        path.name.startswith(".") or MEDIA.fullmatch(path.suffix) or any(path.match(pattern) for pattern in BESIDE)
    )


def opened(path: Path, name: str, scratch: Path, columns: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """(path, name) of the plain files in a file: itself, or what it packs, below `scratch`.

    columns: other names for a table's columns. Raises ParleyError for an archive that is broken, locked or a bomb.
    """
    with path.open("rb") as file:
        start = file.read(1 << 10)
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        raise ParleyError(f"{path}: a Git-LFS pointer, not the file itself. Run `git lfs pull` where it comes from")
    place = scratch / name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".zip":
        if ".zip/" in name:
            raise ParleyError(f"{path}: an archive inside an archive: unpack the outer one first")
        with _archive_errors(path):
            _unzip(path, place)
        for member, inner in files_below(place, links_into=()):
            yield from opened(member, f"{name}/{inner}", scratch, columns)
        return
    if suffix in (".gz", ".zst"):
        with _archive_errors(path), _made(place) as made, _stream(path, suffix) as packed:
            _copy(packed, made, packed_bytes=path.stat().st_size, where=str(path))
        path, suffix = place, PurePosixPath(name).with_suffix("").suffix.lower()
    if suffix in TABLES:
        with _made(place) as made:
            write_rows(path, suffix, made, columns)
        if len(PurePosixPath(name).parts) > 2:  # Discord's data package: whose messages these are stands two folders up
            for account in path.parents[2].glob("[Aa]ccount/user.json"):
                (place.parents[2] / "Account").mkdir(exist_ok=True)
                shutil.copyfile(account, place.parents[2] / "Account/user.json")
        path = place
    yield path, name


@contextlib.contextmanager
def _made(place: Path) -> Iterator[Path]:
    """A path to write to; afterwards it is `place`, which may be what it was made from."""
    place.parent.mkdir(parents=True, exist_ok=True)
    made = place.with_name(f"{place.name}.part")
    yield made
    made.replace(place)


@contextlib.contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ParleyError(f"{path}: a broken archive ({type(error).__name__}): copy or export it again") from None
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL):
            raise ParleyError(f"{path}: two of its entries have one name, or a name is no file's") from None
        raise


def _stream(path: Path, suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    import zstandard

    return cast(IO[bytes], zstandard.open(path))


def _unzip(path: Path, place: Path) -> None:
    """The members that may hold chats, below `place`."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_ENTRIES:
            raise ParleyError(f"{path}: {len(members)} entries; at most {MAX_ENTRIES} are read: unpack it yourself")
        unpacked, packed_bytes = sum(member.file_size for member in members), path.stat().st_size
        if unpacked > MAX_BYTES:
            raise ParleyError(f"{path}: more than {MAX_BYTES >> 30} GiB unpacked: unpack it yourself, in parts")
        if unpacked > MAX_RATIO * max(packed_bytes, ALWAYS_FINE):  # many small bombs
            raise _bomb(str(path))
        for member in members:
            inner = PurePosixPath(member.filename)
            if inner.is_absolute() or ".." in inner.parts or "\\" in member.filename or inner.drive:
                raise ParleyError(f"{path}: an entry's path leads out of the archive: it may be an attack")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ParleyError(f"{path}: holds a symbolic link: unpack it yourself")
            if member.flag_bits & 1:
                raise ParleyError(f"{path}: locked with a password: unpack it yourself")
            if member.is_dir() or not may_hold_chat(inner):
                continue
            target = place / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed:
                _copy(packed, target, packed_bytes=member.compress_size, where=str(path))


def _copy(packed: IO[bytes], target: Path, *, packed_bytes: int, where: str) -> None:
    bound = min(MAX_BYTES, MAX_RATIO * max(packed_bytes, ALWAYS_FINE))
    written = 0
    with target.open("xb") as out:
        while piece := packed.read(1 << 20):
            written += len(piece)
            if written > bound:
                raise _bomb(where)
            out.write(piece)


def _bomb(where: str) -> ParleyError:
    return ParleyError(
        f"{where}: unpacks to more than {MAX_RATIO} times its size, or {MAX_BYTES >> 30} GiB: "
        "it may be an attack; unpack it yourself if it is not"
    )
