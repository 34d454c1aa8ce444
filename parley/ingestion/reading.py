"""Raw files as pieces of UTF-8, whatever they were written in, and what of them could not be read."""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path

import msgspec

from parley.conversation import Conversation, Message, SharegptRow
from parley.errors import ParleyError

PIECE = 1 << 18  # bytes: small enough to stay in the processor's cache, which doubles the speed of decoding
MAX_LINE = 1 << 27  # bytes
HEAD = 1 << 16  # bytes that a format may look at to recognise its files


class Rejected(msgspec.Struct, frozen=True, tag_field="schema", tag=1):
    """A record that a format read but could not use: a line of data/rejects/ingest.jsonl. Never text, never a name."""

    source: str  # file:line
    id: str
    code: str  # E001-E005, E011, E014 or E017; the other codes are in parley/validation/checks.py
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a whole file that its owner should know. Printed, and counted by its text; no record is lost."""

    source: str
    text: str  # the same words for every file, without names


told: Callable[[int], object] = bool  # is given the bytes of each piece that is read: ingest's bar, while there is one

Record = Message | Conversation | SharegptRow | Rejected | Notice  # what a format's `read` gives


def head_of(path: Path) -> bytes:
    """The first HEAD bytes as UTF-8; a character cut in two at the end is left out."""
    head = next(pieces_of(path, size=HEAD), b"")
    return head[:HEAD].decode("utf-8", errors="ignore").encode()


def pieces_of(path: Path, *, size: int = PIECE) -> Iterator[bytes]:
    """The file from start to end in pieces of about `size` bytes, without a byte order mark.

    UTF-16 and UTF-32 become UTF-8, with or without a mark; bytes that are neither raise ParleyError. UTF-8 is
    passed on unchecked: whoever decodes a record can name its line.
    """
    with path.open("rb") as file:
        start = file.read(size)
        encoding, mark = _encoding(start)
        if encoding == "utf-8":
            piece = start[mark:]
            while piece:
                told(len(piece))
                yield piece
                piece = file.read(size)
            return
        file.seek(mark)
        decoder = codecs.getincrementaldecoder(encoding)()
        done = False
        while not done:
            where = file.tell() - len(decoder.getstate()[0])
            piece = file.read(size)
            done = not piece
            told(len(piece))
            try:
                text = decoder.decode(piece, final=done)
            except UnicodeDecodeError as error:
                raise ParleyError(
                    f"{path}: looks like {encoding.upper()} but is not, at byte {where + error.start}: save it as UTF-8"
                ) from None
            if text:
                yield text.encode()


_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _encoding(start: bytes) -> tuple[str, int]:
    """Codec and length of the byte order mark. Without a mark, the zero bytes beside the first ASCII character tell."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    zeros = tuple(byte == 0 for byte in start[:4])
    patterns = {
        (True, True, True, False): "utf-32-be",
        (False, True, True, True): "utf-32-le",
        (True, False): "utf-16-be",
        (False, True): "utf-16-le",
    }
    return patterns.get(zeros) or patterns.get(zeros[:2]) or "utf-8", 0


def line_batches(path: Path) -> Iterator[list[bytes]]:
    """The lines of a text file, those of a piece together, each with the newline that ends it."""
    rest: list[bytes] = []  # of a line that goes on
    number = 1
    for piece in pieces_of(path):
        if b"\n" not in piece:
            rest.append(piece)
            if sum(map(len, rest)) > MAX_LINE:
                raise ParleyError(f"{path}:{number}: a line is larger than {MAX_LINE >> 20} MiB")
            continue
        lines = BytesIO(piece).readlines()  # several times as fast as `split`
        lines[0] = b"".join([*rest, lines[0]])
        rest = [] if lines[-1].endswith(b"\n") else [lines.pop()]
        yield lines
        number += len(lines)
    if rest:
        yield [b"".join(rest)]


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, each with the newline that ends it. ParleyError for what is not UTF-8."""
    for number, line in enumerate(chain.from_iterable(line_batches(path)), start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise ParleyError(
                f"{path}:{number}: not UTF-8 at byte {error.start} of the line: save it as UTF-8"
            ) from None
