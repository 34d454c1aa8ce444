"""Files of rows, one conversation or message each: a JSON list, JSON lines or a single object."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from parley.conversation import Conversation, Message
from parley.errors import ParleyError
from parley.json_stream import DECODE_ERRORS, MAX_ELEMENT, Batch, Fault, JsonArray, why_undecoded
from parley.reading import HEAD, Notice, Record, Rejected, head_of, pieces_of

R = TypeVar("R", bound=msgspec.Struct)
C = TypeVar("C", Conversation, Message, Conversation | Message)


class RowError(Exception):
    """Why a row is no conversation: a code as in `Rejected`, and a reason that quotes nothing of it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def read_rows(
    path: Path, name: str, row_type: type[R], convert: Callable[[R, str, str], Conversation | Message]
) -> Iterator[Record]:
    """Every row of a file, a JSON list or JSON lines, as what `convert(row, id, source)` makes of it."""
    head = head_of(path)
    array = JsonArray(pieces_of(path), key=None, where=str(path)) if head.lstrip().startswith(b"[") else None
    yield from converted(elements_of(array) if array else _elements(path, head), name, row_type, convert)
    if array and array.interrupted:
        yield Notice(name, "the list does not end: every whole row was read")


def converted(
    elements: Iterable[tuple[int, bytes | Fault]],
    name: str,
    row_type: type[R],
    convert: Callable[[R, str, str], Conversation | Message],
) -> Iterator[Record]:
    """What `convert(row, id, source)` makes of each (line, JSON); RowError rejects the row.

    row_type: a msgspec.Struct with `id: Any = None`, which names the fields to decode. An id that the row does not
    give as a string is the file's stem and the row's number in the file.
    """
    decoder = msgspec.json.Decoder(row_type)
    stem = PurePosixPath(name).stem
    for number, (line, element) in enumerate(elements, start=1):
        source, id = f"{name}:{line}", f"{stem}-{number}"
        if isinstance(element, Fault):
            yield Rejected(source, id, element.code, element.reason)
            continue
        try:
            row = decoder.decode(element)
            given = row.id  # type: ignore[attr-defined]
            id = given if isinstance(given, str) and given else id
            yield checked(convert(row, id, source))
        except RowError as error:
            yield Rejected(source, id, error.code, error.reason)
        except msgspec.ValidationError as error:
            # msgspec names the place and the types, such as "Expected `array`, got `str` - at `$.messages`".
            yield Rejected(source, id, "E001" if "range" in str(error) else "E002", str(error))
        except DECODE_ERRORS:
            yield Rejected(source, id, *why_undecoded(element))


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


def _elements(path: Path, head: bytes) -> Iterator[tuple[int, bytes | Fault]]:
    """(line, JSON) of each row of a file that holds lines or a single object."""
    if not head.lstrip().startswith(b"{"):
        raise ParleyError(f"{path}: neither a JSON list, nor JSON lines, nor a JSON object")
    lines = [line for line in head.split(b"\n") if line.strip()]
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()  # cut in two
    if len(lines) == 1 or _is_object(lines[0]):
        return _of_lines(path)
    # An object over many lines, or lines of which the first is broken. Inner objects may stand on lines of their own.
    if path.stat().st_size <= MAX_ELEMENT:
        document = b"".join(pieces_of(path))
        if _is_object(document) or not any(map(_is_object, lines)):
            return iter([(1 + document.count(b"\n", 0, document.index(b"{")), document)])
    return _of_lines(path)


def elements_of(array: JsonArray) -> Iterator[tuple[int, bytes | Fault]]:
    """(line, JSON) of each element."""
    for part in array:
        if isinstance(part, Batch):
            yield from part.elements()
        else:
            yield part.line, part


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except DECODE_ERRORS:
        return False


def _of_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    rest: list[bytes] = []
    number = 0
    for piece in chain(pieces_of(path), [b"\n"]):
        lines = piece.split(b"\n")
        rest.append(lines[0])
        if len(lines) == 1:
            if sum(map(len, rest)) > MAX_ELEMENT:
                raise ParleyError(f"{path}:{number + 1}: a line is larger than {MAX_ELEMENT >> 20} MiB")
            continue
        lines[0] = b"".join(rest)
        rest = [lines.pop()]
        for line in lines:
            number += 1
            if line and not line.isspace():
                yield number, line
