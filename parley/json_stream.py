"""One JSON array of any size, streamed: batches of whole elements, each with its line.

The array is the document itself, or the value of one key of the root object, as in

    {"guild": {...}, "channel": {...}, "messages": [{"id": "1", ...}, {"id": "2", ...}], "messageCount": 2}

A piece of the file is cut where the text looks like the border of two elements. The guess is proved by decoding
`[` + what was cut + `]`: text that ends inside an element never is valid JSON. If the guess is wrong, every bracket
and string is walked instead. So documents that are minified, repeat the key, or quote JSON in strings are right too.
"""

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from parley.errors import ParleyError
from parley.reading import PIECE

MAX_ELEMENT = 1 << 27  # bytes of one element at most, so that a broken file can't fill the memory
MAX_HEADER = 1 << 22  # bytes before and after the array
MAX_TRIES = 64  # lists of the wanted name inside other values, before the wanted one
GUESSES = 8

_RAW = msgspec.json.Decoder(list[msgspec.Raw])
# A string may be unfinished at the end of what was read: then the closing quote, group 1, is missing.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[\]{},]', re.DOTALL)
_SPACE = rb"[ \t\n\r]*"
_GAP = re.compile(rb"[ \t\n\r,]*")
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# The first element's indentation, first key, its simple value, and second key.
_FIRST = re.compile(
    rb"(%s)(\{%s%s)(?:%s:%s(?:%s|[^\s,\"\[\]{}]+)(%s,%s%s))?"
    % (_SPACE, _SPACE, _STRING, _SPACE, _SPACE, _STRING, _SPACE, _SPACE, _STRING),
    re.DOTALL,
)
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole elements: `data` is a JSON list of them, `lines` the line in the file (from 1) at which each begins."""

    data: bytes
    lines: list[int]
    end_line: int

    def elements(self) -> Iterator[tuple[int, bytes]]:
        """(line, JSON) of each element, for a batch that could not be decoded as one."""
        return zip(self.lines, map(bytes, _RAW.decode(self.data)), strict=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """An element that is not JSON, or not UTF-8."""

    line: int
    code: str
    reason: str


class JsonArray:
    """The array's batches in order, by iteration. `interrupted` is set at the end, `header` from the start.

    pieces: UTF-8, from `pieces_of`. key: of the root object; None when the root is the array.
    closing: what closes the objects and lists around the array, the innermost first. `}]` is an object in a list:
    there may be several such arrays, then, and `reopen` goes on to the next one.
    Raises ParleyError, which begins with `where`, for what is no such document.
    """

    def __init__(self, pieces: Iterator[bytes], *, key: str | None, where: str, closing: bytes = b"}") -> None:
        self._pieces = pieces
        self._where = where
        self._buffer = b""  # not yet yielded; begins inside the array
        self._ended = False  # whether the file has been read to its end
        self._line = 1  # at which _buffer begins
        self.interrupted = False  # whether the file ends before its array does
        self.header: dict[str, Any] = {}  # the keys before the array, of the object that it is in
        self._after_comma = False
        self._key = key
        self.closing = closing
        if key is None:
            self._open_root()
        else:
            self._open_key(key)

    def _more(self) -> bool:
        """Reads at least as much again as there is, so that a huge element costs linear time."""
        pieces, wanted = [self._buffer], len(self._buffer) or 1
        while wanted > 0 and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            if piece:
                pieces.append(piece)
                wanted -= len(piece)
        self._buffer = b"".join(pieces)
        return len(pieces) > 1

    def _open_root(self) -> None:
        while not self._buffer.lstrip() and self._more():
            pass
        start = self._buffer.find(b"[")
        if start < 0 or self._buffer[:start].strip():
            raise ParleyError(f"{self._where}: expected a JSON list")
        self._drop(start + 1)

    def _open_key(self, key: str) -> None:
        """The text before `[` must be an object once `]}` is added: then the bracket opens a value of the root."""
        opening = re.compile(rb'"%s"%s:%s\[' % (re.escape(key.encode()), _SPACE, _SPACE))
        tried, tries = 0, 0
        while True:
            for found in opening.finditer(self._buffer, tried):
                tried, tries = found.end(), tries + 1
                try:
                    header = msgspec.json.decode(self._buffer[: found.end()] + b"]" + self.closing)
                except DECODE_ERRORS:
                    continue
                for _ in self.closing[1:]:
                    header = list(header.values())[-1] if isinstance(header, dict) else header[-1]
                if header.pop(key, None) == []:
                    self.header = header
                    self._drop(found.end())
                    return
            # The key may lie across the border of what was read.
            tried = max(tried, len(self._buffer) - len(key) - 1000)
            if len(self._buffer) > MAX_HEADER or tries > MAX_TRIES or not self._more():
                raise ParleyError(f"{self._where}: no list {key!r} at the top of a JSON object")

    def reopen(self) -> bool:
        """After the array: whether there is another one of the key in the outer lists; `header` is its object's."""
        if self.interrupted:
            return False
        # As if the document began with the objects that are still open.
        opening = b"".join(b'{"":' if mark == 0x7D else b"[" for mark in reversed(self.closing)) + b"0"
        self._buffer = opening + self._buffer
        self._after_comma = False
        try:
            self._open_key(self._key or "")
        except ParleyError:
            if not self._ended:
                raise
            try:
                msgspec.json.decode(self._buffer)
            except DECODE_ERRORS:
                self.interrupted = True
            return False
        return True

    def _drop(self, count: int, line: int | None = None) -> None:
        """Forgets the first `count` bytes of the buffer, after which `line` begins."""
        self._line = line or self._line + self._buffer.count(b"\n", 0, count)
        self._buffer = self._buffer[count:]

    def __iter__(self) -> Iterator[Batch | Fault]:
        border = None
        while True:
            # Several arrays may lie in the buffer: reading on at each of them would read the whole file.
            enough = len(self.closing) > 1 and len(self._buffer) >= PIECE
            if not enough and not self._more() and not self._buffer.strip():
                self.interrupted = True
                return
            border = border or _border(self._buffer)
            guess = self._guess(border) if border else None
            if guess:
                yield guess
                continue
            if self._ended and (guess := self._guess_end()):
                yield guess
                return
            done = yield from self._walk()
            if done:
                return
            border = None  # elements may be spaced otherwise than the first one was

    def _guess(self, border: "_Border") -> Batch | None:
        """What lies before the last border in the buffer, if that is proved to be one."""
        end = len(self._buffer)
        for _ in range(GUESSES):
            end = border.before(self._buffer, end)
            if end < 0:
                return None
            batch = _batch(memoryview(self._buffer)[:end], self._line)
            if batch:
                self._drop(end + 1, batch.end_line)  # and its comma
                self._after_comma = True
                return batch
        return None

    def _guess_end(self) -> Batch | None:
        """The rest of the array, if the last bracket of the document closes it."""
        end = self._buffer.rfind(b"]")
        batch = _batch(memoryview(self._buffer)[:end], self._line) if end >= 0 else None
        if not batch or not batch.lines:
            return None
        self._drop(end + 1, batch.end_line)
        self._close()
        return batch

    def _walk(self) -> Generator[Batch | Fault, None, bool]:
        """Finds the borders in the buffer by walking it, reading on until there is one. True when the array is over."""
        walk = _Walk()
        while True:
            walk.on(self._buffer)
            if walk.commas or walk.close is not None or self._ended:
                break
            if len(self._buffer) > MAX_ELEMENT:
                raise ParleyError(f"{self._where}:{self._line}: one element is larger than {MAX_ELEMENT >> 20} MiB")
            self._more()
        closed = walk.close is not None
        borders = [*walk.commas, walk.close] if walk.close is not None else walk.commas
        yield from _prove(self._buffer, borders, self._line, may_be_empty=closed and not self._after_comma)
        if borders:
            self._drop(borders[-1] + 1)
            self._after_comma = True
        if closed:
            self._close()
        elif self._ended:
            self.interrupted = True
            yield from self._rest()
        return closed or self._ended

    def _rest(self) -> Iterator[Batch | Fault]:
        """What an interrupted file ends with: its last element, which may just be whole."""
        rest = self._buffer.strip()
        line = self._line + self._buffer.count(b"\n", 0, len(self._buffer) - len(self._buffer.lstrip()))
        whole = _batch(rest, line) if rest.endswith((b"}", b"]", b'"')) else None
        if whole:
            yield whole
        elif rest:
            yield Fault(line, "E001", f"the file ends inside this record, {len(rest)} bytes after its start")

    def _close(self) -> None:
        """Checks that the document ends well after the array; `reopen` does it where there may be several."""
        if len(self.closing) > 1:
            return
        while not self._ended and len(self._buffer) <= MAX_HEADER:
            self._more()
        tail = self._buffer.strip()
        if self._key is None:
            if not tail:
                return
        elif not tail.endswith(b"}"):
            self.interrupted = True
            return
        else:
            try:
                if self._key not in msgspec.json.decode(b'{"":0' + tail):
                    return
            except DECODE_ERRORS:
                pass
        raise ParleyError(f"{self._where}:{self._line}: something stands after the end of the list: is it two files?")


@dataclass(frozen=True, slots=True)
class _Border:
    """How two elements meet, as the first one lets us guess."""

    fixed: bytes  # `},` + indentation + `{` + first key
    second: re.Pattern[bytes]  # the same with the first value and the second key: an inner list has others

    def before(self, buffer: bytes, end: int) -> int:
        """Offset of the comma of the last such place before `end`, or -1."""
        while (found := buffer.rfind(self.fixed, 0, end)) >= 0:
            if self.second.match(buffer, found):
                return found + 1
            end = found + len(self.fixed) - 1
        return -1


def _border(buffer: bytes) -> _Border | None:
    first = _FIRST.match(buffer)
    if not first:
        return None
    fixed = b"}," + first[1] + first[2]
    value = rb"%s:%s(?:%s|[^\s,\"\[\]{}]+)" % (_SPACE, _SPACE, _STRING)
    return _Border(fixed, re.compile(re.escape(fixed) + value + re.escape(first[3]) if first[3] else re.escape(fixed)))


class _Walk:
    """The commas of the array and its closing bracket, found by walking; goes on where it stopped."""

    def __init__(self) -> None:
        self.commas: list[int] = []
        self.close: int | None = None
        self._depth = 0
        self._position = 0

    def on(self, buffer: bytes) -> None:
        depth = self._depth
        for token in _TOKEN.finditer(buffer, self._position):
            first = buffer[token.start()]
            if first == 0x22:  # a quote
                if not token[1]:
                    self._position, self._depth = token.start(), depth
                    return
            elif first in b"[{":
                depth += 1
            elif first == 0x2C:  # a comma
                if depth == 0:
                    self.commas.append(token.start())
            else:
                depth -= 1
                if depth < 0:
                    self.close = token.start()
                    return
        self._position, self._depth = len(buffer), depth


def _batch(text: bytes | memoryview, line: int) -> Batch | None:
    """The elements in `text`, which begins at `line`, if it is whole elements with commas between them."""
    data = b"".join((b"[", text, b"]"))
    try:
        elements = _RAW.decode(data)
    except DECODE_ERRORS:
        return None
    if b"\n" not in data:
        return Batch(data, [line] * len(elements), line)
    lines, counted, position = [], 0, 1
    count, gap = data.count, _GAP.match
    for element in elements:
        start = gap(data, position).end()  # type: ignore[union-attr]  # it matches the empty string too
        line += count(b"\n", counted, start)
        lines.append(line)
        counted, position = start, start + len(memoryview(element))
    return Batch(data, lines, line + count(b"\n", counted))


def _prove(buffer: bytes, borders: list[int], line: int, *, may_be_empty: bool) -> Iterator[Batch | Fault]:
    """What lies between the borders, as one batch if all of it is JSON, else one by one."""
    whole = _batch(buffer[: borders[-1]], line) if borders else None
    if not borders or (whole and (whole.lines or may_be_empty)):
        yield from [whole] if whole and whole.lines else []
        return
    start = 0
    for border in borders:
        element = buffer[start:border]
        batch = _batch(element, line)
        if batch and batch.lines:
            yield batch
        else:
            begins = line + element.count(b"\n", 0, len(element) - len(element.lstrip()))
            yield Fault(begins, *why_undecoded(element.strip()))
        line += element.count(b"\n")
        start = border + 1


def why_undecoded(element: bytes) -> tuple[str, str]:
    """(code, reason) for one record that msgspec could not decode. The reason quotes nothing of it."""
    if not element:
        return "E001", "invalid JSON: nothing before a comma or bracket"
    try:
        element.decode()
    except UnicodeDecodeError as error:
        return "E001", f"not UTF-8 at byte {error.start} of the record"
    try:
        json.dumps(json.loads(element, parse_constant=_no_constant), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "E017", "a lone surrogate"
    except RecursionError:
        return "E001", "invalid JSON: nested too deeply"
    except json.JSONDecodeError as error:
        return "E001", f"invalid JSON at line {error.lineno}, column {error.colno} of the record: {error.msg}"
    except ValueError as error:
        return "E001", f"invalid JSON: {error}"
    return "E001", "a number is out of range"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


@lru_cache(maxsize=4)  # every format looks at the same head
def shape_of(head: bytes) -> frozenset[str]:
    """The keys of the first record in the head of a file, three levels deep: {"id", "messages", "messages[].role"}.

    The record is the root object, or the first element of the root list; it may be longer than `head`.
    """
    shape: set[str] = set()
    stack: list[str] = []  # what the keys of each open object or list begin with
    outside = 0  # brackets around the record
    here, string = "", ""
    for token in re.finditer(rb'"((?:[^"\\]++|\\.)*+)"|[\[\]{}:]', head, re.DOTALL):
        text = token[0]
        if text[:1] == b'"':
            string = token[1].decode(errors="replace")
        elif text == b":" and 0 < len(stack) < 8:  # the names of deeper ones would grow with each level
            here = f"{stack[-1]}.{string}" if stack[-1] else string
            if here.count(".") < 3:
                shape.add(here)
        elif text == b"{":
            stack.append(here)
        elif text == b"[":
            outside = outside or not stack
            here = f"{here}[]" if 0 < len(stack) < 8 else here if stack else ""
            stack.append(here)
        elif text in b"]}":
            del stack[-1:]
            if len(stack) <= outside:
                break
            here = stack[-1]
    return frozenset(shape)
