"""The text of JSON: where the elements of a list may meet, where they do meet, and why one can't be decoded."""

import json
import re
from dataclasses import dataclass

import msgspec
import numpy as np

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# A string may be unfinished at the end of what was read: then the closing quote, group 1, is missing.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[\]{},]', re.DOTALL)
SPACE = rb"[ \t\n\r]*"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_VALUE = rb"%s:%s(?:%s|[^\s,\"\[\]{}]+)" % (SPACE, SPACE, _STRING)  # after a key, if it is simple
# The first element's indentation, first key, its simple value, and second key.
_FIRST = re.compile(
    rb"(%s)(\{%s%s)(?:%s(%s,%s%s))?" % (SPACE, SPACE, _STRING, _VALUE, SPACE, SPACE, _STRING), re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Border:
    """How two elements seem to meet, as the first one lets us guess."""

    space: bytes  # before every element
    pattern: re.Pattern[bytes]  # `},`, indentation and first key; then its value and the second key: inner lists differ

    def find(self, buffer: bytes, line: int) -> tuple[list[int], list[int]]:
        """Of each element of a buffer that begins with one at `line`: offset of the comma before it (first -1), line.

        Only guesses: decoding what stands between two of them proves them, or not.
        """
        text = np.frombuffer(buffer, np.uint8)
        breaks = np.flatnonzero(text == 0x0A)
        if self.space.count(b"\n") == 1:  # elements begin on lines of their own: only the lines' starts need be seen
            above = self.space.index(b"\n")
            brace = len(self.space) - above
            known = breaks[: breaks.searchsorted(len(text) - brace)]
            found = np.flatnonzero(text[known + brace] == 0x7B)
            # No other line break stands in the gap: the line of the element would be another one.
            found = found[breaks[np.minimum(found + 1, len(breaks) - 1)] > breaks[found] + brace]
            for place, char in enumerate(self.space[:above], start=-above):
                found = found[text[breaks[found] + place] == char]
            commas = breaks[found] - (above + 1)
        else:
            commas = np.array([-1, *(match.start() + 1 for match in self.pattern.finditer(buffer))])
            found = np.atleast_1d(breaks.searchsorted(commas))
        real = text[commas] == 0x2C
        if not len(commas) or commas[0] != -1:
            return [], []
        real[0] = True
        return commas[real].tolist(), (found[real] + (line + self.space.count(b"\n"))).tolist()


def border_of(buffer: bytes) -> Border | None:
    """The border between elements like the one that the buffer begins with; None when that is no object with a key."""
    first = _FIRST.match(buffer)
    if not first:
        return None
    pattern = re.escape(b"}," + first[1] + first[2]) + (_VALUE + re.escape(first[3]) if first[3] else b"")
    return Border(first[1], re.compile(pattern, re.DOTALL))


class Walk:
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
