"""Files of rows, one conversation or message each: a JSON list, JSON lines or a single object."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from parley.conversation import Conversation, Message
from parley.errors import ParleyError
from parley.ingestion.json_stream import MAX_ELEMENT, Decode, Fault, JsonArray
from parley.ingestion.json_syntax import DECODE_ERRORS, why_undecoded
from parley.ingestion.reading import HEAD, Notice, Record, Rejected, head_of, line_batches, pieces_of

R = TypeVar("R", bound=msgspec.Struct)
C = TypeVar("C", Conversation, Message, Conversation | Message)
T = TypeVar("T")

INTERRUPTED = "the export was interrupted: every whole record was read; export again for the rest"

_raw = msgspec.json.Decoder(msgspec.Raw).decode


class RowError(Exception):
    """Why a row is no conversation: a code as in `Rejected`, and a reason that quotes nothing of it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def read_rows(
    path: Path,
    name: str,
    row_type: type[R],
    convert: Callable[[R, str, str], Conversation | Message],
    *,
    faster: Callable[[Decode[Record], str], Decode[Record]] | None = None,
) -> Iterator[Record]:
    """Every row of a file, a JSON list or JSON lines, as what `convert(row, id, source)` makes of it.

    faster: makes of the decoder of rows a faster one, as parley/ingestion/plain.py does.
    """
    head = head_of(path)
    decode = decoder(name, row_type, convert)
    if faster:
        decode = faster(decode, name)
    array = JsonArray(pieces_of(path), key=None, where=str(path)) if head.lstrip().startswith(b"[") else None
    yield from _flat(array.batches(decode) if array else _line_batches(path, head, decode), name)
    if array and array.interrupted:
        yield Notice(name, INTERRUPTED)


def records_of(
    array: JsonArray, name: str, row_type: type[R], convert: Callable[[R, str, str], Conversation | Message]
) -> Iterator[Record]:
    """What `convert(row, id, source)` makes of each element, of every array that `reopen` finds."""
    decode = decoder(name, row_type, convert)
    yield from _flat(array.batches(decode), name)
    while array.reopen():
        yield from _flat(array.batches(decode), name)
    if array.interrupted:
        yield Notice(name, INTERRUPTED)


def decoder(name: str, row_type: type[R], convert: Callable[[R, str, str], Conversation | Message]) -> Decode[Record]:
    """Makes of a row's JSON, line and number what `convert(row, id, source)` makes of it; RowError rejects the row.

    row_type: a msgspec.Struct with `id: Any = None`, which names the fields to decode. An id that the row does not
    give as a string is the file's stem and the row's number in the file.
    """
    decode = msgspec.json.Decoder(row_type).decode
    stem = PurePosixPath(name).stem

    def record(element: bytes, line: int, number: int) -> Record:
        source, id = f"{name}:{line}", f"{stem}-{number}"
        try:
            row = decode(element)
            given = row.id  # type: ignore[attr-defined]
            id = given if isinstance(given, str) and given else id
            return checked(convert(row, id, source))
        except RowError as error:
            return Rejected(source, id, error.code, error.reason)
        except msgspec.ValidationError as error:
            _raw(element)  # the decoder stopped before the end, which may be no JSON
            # msgspec names the place and the types, such as "Expected `array`, got `str` - at `$.messages`".
            return Rejected(source, id, "E001" if "range" in str(error) else "E002", str(error))

    return record


def checked(record: C) -> C:
    """The same record; RowError for a NUL in it, which no tokenizer and few tools survive."""
    if isinstance(record, Message):
        if "\0" in record.text:
            raise RowError("E017", "invalid character U+0000")
        return record
    for number, turn in enumerate(record.turns):
        if "\0" in turn.text:
            raise RowError("E017", f"turn {number}: invalid character U+0000")
    if "\0" in record.system or "\0" in record.tools or "\0" in record.id:
        raise RowError("E017", "invalid character U+0000 beside the turns")
    return record


def _flat(batches: Iterable[list[Record] | Fault], name: str) -> Iterator[Record]:
    stem = PurePosixPath(name).stem
    for part in batches:
        if isinstance(part, Fault):
            yield Rejected(f"{name}:{part.line}", f"{stem}-{part.number}", part.code, part.reason)
        else:
            yield from part


def _line_batches(path: Path, head: bytes, decode: Decode[T]) -> Iterator[list[T] | Fault]:
    """What `decode` makes of each row of a file that holds lines or a single object."""
    if not head.lstrip().startswith(b"{"):
        raise ParleyError(f"{path}: neither a JSON list, nor JSON lines, nor a JSON object")
    lines = [line for line in head.split(b"\n") if line.strip()]
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()  # cut in two
    if len(lines) == 1 or _is_object(lines[0]):
        return _of_lines(path, decode)
    # An object over many lines, or lines of which the first is broken. Inner objects may stand on lines of their own.
    if path.stat().st_size <= MAX_ELEMENT:
        document = b"".join(pieces_of(path))
        if _is_object(document) or not any(map(_is_object, lines)):
            line = 1 + document.count(b"\n", 0, document.index(b"{"))
            return _decoded([document], decode, line, 1)
    return _of_lines(path, decode)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except DECODE_ERRORS:
        return False


def _of_lines(path: Path, decode: Decode[T]) -> Iterator[list[T] | Fault]:
    line, number = 1, 1
    for lines in line_batches(path):
        for part in _decoded(lines, decode, line, number):
            number += 1 if isinstance(part, Fault) else len(part)
            yield part
        line += len(lines)


def _decoded(lines: list[bytes], decode: Decode[T], line: int, number: int) -> Iterator[list[T] | Fault]:
    """What `decode` makes of each line that is not blank; the first one is `line` of the file and row `number`."""
    todo, done = iter(lines), 0
    while done < len(lines):
        values: list[T] = []
        with suppress(*DECODE_ERRORS):  # `extend` keeps what came before an error
            values.extend(map(decode, todo, count(line + done), count(number)))
        done, number = done + len(values), number + len(values)
        if values:
            yield values
        if done < len(lines):  # at one that is blank, or no JSON
            if lines[done].strip():
                yield Fault(line + done, number, *why_undecoded(lines[done].strip()))
                number += 1
            done += 1
