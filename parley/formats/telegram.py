"""telegram: one chat, or all of them, as Telegram Desktop exports them in JSON (result.json).

https://core.telegram.org/import-export (2026). All chats are a list under `chats`, and those that were left one under
`left_chats`; each is an object like the file of one chat. `date` is in the exporting machine's zone.

    {"name": "Ann", "type": "personal_chat", "id": 12, "messages": [
      {"id": 7, "type": "message", "date": "2024-12-28T21:49:21", "date_unixtime": "1735418961", "from": "Ann",
       "from_id": "user12", "reply_to_message_id": 6, "text": ["see ", {"type": "link", "text": "example.org"}]}]}
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Message
from parley.ingestion.json_stream import JsonArray
from parley.ingestion.reading import Record, head_of, pieces_of
from parley.ingestion.rows import RowError, records_of
from parley.ingestion.shapes import shape_of
from parley.ingestion.timestamps import milliseconds

CHATS = True

ALONE = ("personal_chat", "bot_chat", "saved_messages")  # types of chats with one other, whose id is a user's


class Part(msgspec.Struct, gc=False):
    """A stretch of the text that is a link, a mention, code …"""

    text: str
    type: str = ""
    user_id: int | None = None


class Row(msgspec.Struct, gc=False):
    """One message as it comes."""

    id: Any = None
    type: str = "message"
    date: str | None = None
    date_unixtime: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    from_id: str | int | None = None
    actor: str | None = None
    actor_id: str | int | None = None
    text: str | list[str | Part] = ""
    reply_to_message_id: int | None = None
    reply_to_peer_id: str | None = None
    forwarded_from: Any = msgspec.UNSET
    media_type: str | None = None
    file: str | None = None
    photo: str | None = None
    poll: Any = None
    location_information: Any = None
    contact_information: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether it is a chat with its type and id, or the list of them."""
    shape = shape_of(head)
    return {"type", "id", "messages"} <= shape or {"chats.list", "chats.list[].messages"} <= shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every message of every chat, streamed."""
    shape = shape_of(head_of(path))
    closing = b"}]}}" if "chats.list" in shape else b"}"
    array = JsonArray(pieces_of(path), key="messages", where=str(path), closing=closing)
    return records_of(array, name, Row, lambda row, id, source: _message(row, source, array.header))


def _message(row: Row, source: str, chat: dict[str, Any]) -> Message:
    author = row.from_id if row.from_id is not None else row.actor_id
    stamp = row.date_unixtime
    # Exports of before 2021 have no date_unixtime: what they have is then taken for UTC.
    time = int(stamp) * 1000 if stamp and stamp.isdecimal() else milliseconds(f"{row.date}+00:00")
    if time is None:
        raise RowError("E003", "missing 'date_unixtime'")
    if not isinstance(row.id, int) or author is None:
        raise RowError("E003", "missing 'id'" if author is not None else "missing 'from_id'")
    parts = [row.text] if isinstance(row.text, str) else row.text
    text = "".join(part if isinstance(part, str) else part.text for part in parts)
    user = f"user{chat.get('id')}"
    shown = row.from_ or row.actor
    return Message(
        channel=user if chat.get("type") in ALONE else f"group{chat.get('id')}",
        id=str(row.id),
        time=time,
        author=str(author),
        names=(shown,) if shown else (),
        text=text,
        source=source,
        reply_to=str(row.reply_to_message_id) if row.reply_to_message_id and not row.reply_to_peer_id else None,
        bot=chat.get("type") == "bot_chat" and author == user,
        kind=_kind(row, text),
        mentioned={
            f"user{part.user_id}": (part.text,) for part in parts if isinstance(part, Part) and part.user_id is not None
        },
    )


def _kind(row: Row, text: str) -> str:
    if row.type != "message":
        return "system:service"
    if row.forwarded_from is not msgspec.UNSET:
        return "forward"
    if text and not text.isspace():
        return "message"
    media = (row.media_type, row.file, row.photo, row.poll, row.location_information, row.contact_information)
    return "attachment" if any(media) else "empty"
