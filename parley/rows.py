"""Files of rows, one conversation each: a JSON list, JSON lines (whatever the file is called), or a single object."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from parley.conversation import Conversation
from parley.errors import ParleyError
from parley.json_stream import DECODE_ERRORS, MAX_ELEMENT, Batch, Fault, JsonArray, why_undecoded
from parley.reading import HEAD, Notice, Rejected, head_of, pieces_of

R = TypeVar("R", bound=msgspec.Struct)


class RowError(Exception):
    """Why a row is no conversation: a code of the table in docs/codes.md, and a reason that quotes nothing of it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def read_rows(
    path: Path, name: str, row_type: type[R], convert: Callable[[R, str, str], Conversation]
) -> Iterator[Conversation | Rejected | Notice]:
    """Every row of a file as what `convert(row, id, source)` makes of it; RowError rejects the row.

    row_type: a msgspec.Struct with `id: Any = None`, which names the fields to decode. An id that the row does not
    give as a string is the file's stem and the row's number in the file.
    """
    decoder = msgspec.json.Decoder(row_type)
    stem = PurePosixPath(name).stem
    head = head_of(path)
    array = JsonArray(pieces_of(path), key=None, where=str(path)) if head.lstrip().startswith(b"[") else None
    elements = _of_list(array) if array else _elements(path, head)
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
            yield Rejected(source, id, "E002", str(error))
        except DECODE_ERRORS:
            yield Rejected(source, id, *why_undecoded(element))
    if array and array.interrupted:
        yield Notice(name, "the list does not end: every whole row was read")


def checked(conversation: Conversation) -> Conversation:
    """The same conversation; RowError for a NUL in it, which no tokenizer and few tools survive."""
    for number, turn in enumerate(conversation.turns):
        if "\0" in turn.text:
            raise RowError("E017", f"turn {number}: invalid character U+0000")
    if "\0" in conversation.system or "\0" in conversation.tools or "\0" in conversation.id:
        raise RowError("E017", "invalid character U+0000 beside the turns")
    return conversation


def _elements(path: Path, head: bytes) -> Iterator[tuple[int, bytes | Fault]]:
    """(line, JSON) of each row of a file that holds lines or a single object."""
    if not head.lstrip().startswith(b"{"):
        raise ParleyError(f"{path}: neither a JSON list, nor JSON lines, nor a JSON object")
    return _of_lines(path) if _is_lines(head) else _of_object(path)


def _of_list(array: JsonArray) -> Iterator[tuple[int, bytes | Fault]]:
    for part in array:
        if isinstance(part, Batch):
            yield from part.elements()
        else:
            yield part.line, part


def _is_lines(head: bytes) -> bool:
    """Whether a line of the head is an object of its own, or the first one goes on past the head."""
    lines = head.split(b"\n")
    whole = lines if len(head) < HEAD else lines[:-1]
    return len(lines) == 1 or any(_is_object(line) for line in whole)


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


def _of_object(path: Path) -> Iterator[tuple[int, bytes]]:
    pieces, size = [], 0
    for piece in pieces_of(path):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ELEMENT:
            raise ParleyError(f"{path}: one JSON object larger than {MAX_ELEMENT >> 20} MiB; expected a list or lines")
    document = b"".join(pieces)
    yield 1 + document.count(b"\n", 0, len(document) - len(document.lstrip())), document
