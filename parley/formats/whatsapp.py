"""whatsapp: one chat as WhatsApp's "Export chat" writes it, a text file in the words and order of the phone's language.

https://faq.whatsapp.com/1180414079177245 (2026). Android and iPhone write lines like these; a line without a time goes
on with the message above it, and what WhatsApp says by itself has no name, or begins with the invisible U+200E.

    31/12/2023, 21:41 - Ann: happy new year            12/31/23, 9:41 PM - Messages are end-to-end encrypted.
    [31.12.23, 21:41:05] Ann: happy new year           [31.12.23, 21:41:09] Bob: <U+200E>image omitted

There are no ids: a person is the name that the phone showed, a channel is the file, and times are the phone's own,
taken for UTC. Day and month are told apart over the whole file, or by `ingest.date_order`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from parley.conversation import Message
from parley.errors import ParleyError
from parley.ingestion.reading import Record, Rejected, head_of, lines_of

CHATS = True

MARK = "\u200e"  # left-to-right mark: WhatsApp puts it before what it writes itself
HEADER = re.compile(
    rf"{MARK}?\[?(\d{{1,4}})([./-])(\d{{1,2}})\2(\d{{2,4}}),?[\s\u202f](\d{{1,2}})[:.](\d\d)(?:[:.](\d\d))?"
    r"(?:[\s\u202f]?([AaPp])\.?[\s\u202f]?[Mm]\.?)?(?:\]| -) "
)
# A language of its own for each phone, so what counts is the shape: `<Media omitted>`, `IMG-1.jpg (file attached)`.
PLACEHOLDER = re.compile(rf"{MARK}?<[^<>\n]{{3,100}}>|{MARK}?[^\n]{{1,200}}\.\w{{2,4}} \([^()\n]{{3,40}}\)")
OMITTED = re.compile(rf"{MARK}[^\n]{{1,60}} omitted|{MARK}<[^<>\n]{{3,100}}>")
EDITED = re.compile(rf"\s*{MARK}?<This message was edited>$")
# Android writes no mark before what stands for a deleted message: in the languages known here.
DELETED = re.compile(
    r"(?:This message was deleted|You deleted this message|Diese Nachricht wurde gelöscht|"
    r"Du hast diese Nachricht gelöscht|Ce message a été supprimé|Vous avez supprimé ce message|Se eliminó este mensaje|"
    r"Eliminaste este mensaje|Mensagem apagada|Você apagou esta mensagem|Questo messaggio è stato eliminato|"
    r"Hai eliminato questo messaggio|Данное сообщение удалено|Вы удалили данное сообщение)\.?"
)
HOUR = 3_600_000  # milliseconds

Stamp = tuple[int, int, int]  # the three numbers of a date, in the file's order


def recognises(head: bytes, name: str) -> bool:
    """Whether the first line begins with a date, a time and a dash or brackets."""
    start = head.decode(errors="ignore").lstrip("\ufeff\r\n ")
    return HEADER.match(start) is not None


def read(path: Path, name: str, *, date_order: str) -> Iterator[Record]:
    """Every message. ParleyError when no date of the file tells day from month, and `date_order` is auto."""
    if not recognises(head_of(path), name):
        raise ParleyError(f"{path}: does not begin with a date and a time: no chat that WhatsApp exported")
    order = date_order if date_order != "auto" else _order(path)
    place = PurePosixPath(name)
    channel = place.parent.name or place.stem if place.stem == "_chat" else place.stem
    seen: Counter[int] = Counter()
    last = 0
    for line, header, body in _messages(path):
        source = f"{name}:{line}"
        time = _time(header, order)
        if time is None:
            yield Rejected(source, "", "E003", f"no such date, read as {order}")
            continue
        # In autumn the phone's clock goes back an hour; the order of the file is right.
        last = last if time < last <= time + HOUR else time
        seen[last] += 1
        yield _message(body, channel, f"{last}-{seen[last]:05}", last, source)


def _messages(path: Path) -> Iterator[tuple[int, re.Match[str], str]]:
    """(line, match of the header, rest of it and of the lines that follow) of each message."""
    found: tuple[int, re.Match[str]] | None = None
    body: list[str] = []
    for number, line in enumerate(lines_of(path), start=1):
        header = HEADER.match(line)
        if not header:
            body.append(line)
            continue
        if found:
            yield *found, "".join(body).rstrip("\r\n").replace("\r\n", "\n")
        found, body = (number, header), [line[header.end() :]]
    if found:
        yield *found, "".join(body).rstrip("\r\n").replace("\r\n", "\n")


def _message(body: str, channel: str, id: str, time: int, source: str) -> Message:
    author, colon, text = body.partition(": ")
    if not colon and body.endswith(":"):
        author, colon, text = body[:-1], ":", ""
    if not colon or "\n" in author:
        return _notice(channel, id, time, body, source)
    author = author.strip(MARK + "~\u202f\u00a0 ")
    text = EDITED.sub("", text)
    kind = "message" if text.strip(MARK).strip() else "empty"
    first, _, caption = text.partition("\n")
    if OMITTED.fullmatch(first) or PLACEHOLDER.fullmatch(first):
        text, kind = caption, "message" if caption.strip() else "attachment"
    elif text.startswith(MARK) or DELETED.fullmatch(text):
        return _notice(channel, id, time, text, source)  # its "author" is the group, on an iPhone
    return Message(channel, id, time, author, (author,), text.replace(MARK, ""), source, kind=kind)


def _notice(channel: str, id: str, time: int, text: str, source: str) -> Message:
    return Message(channel, id, time, "whatsapp", (), text.replace(MARK, ""), source, bot=True, kind="system:notice")


def _time(header: re.Match[str], order: str) -> int | None:
    day, month, year = _date((int(header[1]), int(header[3]), int(header[4])), order)
    hour, minute, second = int(header[5]), int(header[6]), int(header[7] or 0)
    if header[8]:
        hour = hour % 12 + (12 if header[8] in "Pp" else 0)
    try:
        found = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _date(numbers: Stamp, order: str) -> tuple[int, int, int]:
    """(day, month, year)"""
    first, second, third = numbers
    if first > 31:
        return third, second, first
    year = third + 2000 if third < 100 else third
    return (first, second, year) if order == "day_first" else (second, first, year)


def _order(path: Path) -> str:
    """day_first or month_first: by a number above 12, else by which of them never goes back in time."""
    dates: dict[Stamp, None] = {}
    for _, header, _ in _messages(path):
        dates[int(header[1]), int(header[3]), int(header[4])] = None
    fits = [order for order in ("day_first", "month_first") if all(_date(date, order)[1] <= 12 for date in dates)]
    if len(fits) == 2 and any(_date(date, fits[0]) != _date(date, fits[1]) for date in dates):
        fits = [order for order in fits if _ascends([_date(date, order)[::-1] for date in dates])]
    elif len(fits) == 2:
        fits.pop()  # every day is the month's number: both are right
    if len(fits) == 1:
        return fits[0]
    raise ParleyError(
        f"{path}: the dates {'fit both' if fits else 'fit neither'} day/month and month/day: set ingest.date_order to "
        "day_first or month_first, as on the phone that exported it"
    )


def _ascends(dates: list[tuple[int, ...]]) -> bool:
    return dates == sorted(dates)
