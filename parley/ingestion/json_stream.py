"""One JSON array of any size, streamed: what a decoder makes of each element, in batches.

The array is the document itself, or the value of one key of the root object, as in

    {"guild": {...}, "channel": {...}, "messages": [{"id": "1", ...}, {"id": "2", ...}], "messageCount": 2}

Where elements meet is guessed from how the first one begins, and proved by decoding what stands between two guesses:
text that ends inside an element never is valid JSON. If a guess is wrong, every bracket and string is walked instead.
So documents that are minified, repeat the key, or quote JSON in strings are right too.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, TypeVar

import msgspec

from parley.errors import ParleyError
from parley.ingestion.json_syntax import DECODE_ERRORS, SPACE, Border, Walk, border_of, why_undecoded
from parley.ingestion.reading import PIECE

T = TypeVar("T")
# Makes something of an element, its line in the file (from 1) and its number in the array (from 1).
# Raises one of DECODE_ERRORS if the element is not one JSON value from its first to its last byte, else none of them.
Decode = Callable[[bytes, int, int], T]

MAX_ELEMENT = 1 << 27  # bytes of one element at most, so that a broken file can't fill the memory
MAX_HEADER = 1 << 22  # bytes before and after the array
MAX_TRIES = 64  # lists of the wanted name inside other values, before the wanted one


@dataclass(frozen=True, slots=True)
class Fault:
    """An element that is not JSON, or not UTF-8."""

    line: int
    number: int
    code: str
    reason: str


class JsonArray:
    """An array: its `header` from the start, `batches` once; `interrupted` is set at their end.

    pieces: UTF-8, from `pieces_of`. key: of the root object; None when the root is the array.
    closing: what closes the objects and lists around the array, the innermost first. `}]` is an object in a list:
    there may be several such arrays, then, and `reopen` goes on to the next one.
    Raises ParleyError, which begins with `where`, for what is no such document.
    """

    def __init__(self, pieces: Iterator[bytes], *, key: str | None, where: str, closing: bytes = b"}") -> None:
        self._pieces = pieces
        self._where = where
        self._buffer = b""  # not yet given out; begins inside the array, where an element does
        self._ended = False  # whether the file has been read to its end
        self._line = 1  # at which _buffer begins
        self._number = 0  # elements given out
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
        opening = re.compile(rb'"%s"%s:%s\[' % (re.escape(key.encode()), SPACE, SPACE))
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
        if self.interrupted or len(self.closing) == 1:
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

    def batches(self, decode: Decode[T]) -> Iterator[list[T] | Fault]:
        """What `decode` makes of each element, in order."""
        border: Border | None = None
        over = False
        while not over:
            # Several arrays may lie in the buffer: reading on at each of them would read the whole file.
            if len(self._buffer) < PIECE and not self._more() and not self._buffer.strip():
                self.interrupted = True
                return
            border = border or border_of(self._buffer)
            guessed = border and self._guessed(border, decode)
            if guessed:
                yield guessed
            else:
                over = yield from self._walked(decode)
                border = None  # elements may be spaced otherwise than the first one was

    def _guessed(self, border: Border, decode: Decode[T]) -> list[T]:
        """The elements from the start of the buffer whose guessed borders are proved; mostly all but the last."""
        text = self._buffer
        commas, lines = border.find(text, self._line)
        elements = [text[before + 1 : after] for before, after in pairwise(commas)]
        values: list[T] = []
        with suppress(*DECODE_ERRORS):  # `extend` keeps what came before an error
            values.extend(map(decode, elements, lines, count(self._number + 1)))
        if values:
            self._number += len(values)
            # Of the line on which the next element begins, the line breaks before it are still to be read.
            self._drop(commas[len(values)] + 1, lines[len(values)] - border.space.count(b"\n"))
            self._after_comma = True
        return values

    def _walked(self, decode: Decode[T]) -> Generator[list[T] | Fault, None, bool]:
        """The elements in the buffer, found by walking it; reads on until there is one. True when the array is over."""
        walk = Walk()
        while True:
            walk.on(self._buffer)
            if walk.commas or walk.close is not None or self._ended:
                break
            if len(self._buffer) > MAX_ELEMENT:
                raise ParleyError(f"{self._where}:{self._line}: one element is larger than {MAX_ELEMENT >> 20} MiB")
            self._more()
        start = 0
        for border in walk.commas:
            yield self._one(self._buffer[start:border], decode)
            start, self._after_comma = border + 1, True
        if walk.close is not None:
            last = self._buffer[start : walk.close]
            if last.strip(b" \t\n\r") or self._after_comma:
                yield self._one(last, decode)
            self._buffer = self._buffer[walk.close + 1 :]
            self._close()
            return True
        self._buffer = self._buffer[start:]
        if self._ended:
            self.interrupted = True
            yield from self._rest(decode)
        return self._ended

    def _one(self, element: bytes, decode: Decode[T]) -> list[T] | Fault:
        """What `decode` makes of an element at which _line is, or why it can't."""
        line = self._line + element.count(b"\n", 0, len(element) - len(element.lstrip()))
        self._line += element.count(b"\n")
        self._number += 1
        try:
            return [decode(element, line, self._number)]
        except DECODE_ERRORS:
            return Fault(line, self._number, *why_undecoded(element.strip()))

    def _rest(self, decode: Decode[T]) -> Iterator[list[T] | Fault]:
        """What an interrupted file ends with: its last element, which may just be whole."""
        rest = self._buffer.strip()
        if not rest:
            return
        found = self._one(self._buffer, decode)
        if not rest.endswith((b"}", b"]", b'"')) or isinstance(found, Fault):
            line = self._line - self._buffer.lstrip().count(b"\n")
            reason = f"the file ends inside this record, {len(rest)} bytes after its start"
            found = Fault(line, self._number, "E001", reason)
        yield found

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
