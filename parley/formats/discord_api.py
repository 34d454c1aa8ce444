"""discord_api: messages as Discord's own API gives them, which archiving bots save.

https://discord.com/developers/docs/resources/message (API v10, 2026). Three ways to keep them are read: a list (or
one object) of threads with their messages, a plain list, and JSON lines. A list of channels alone holds no message.

    [{"thread": {"id": "9", "name": "help"}, "messages": [
      {"id": "1322667734953099307", "channel_id": "9", "type": 19, "content": "hi <@5>",
       "timestamp": "2024-12-28T20:49:21.991000+00:00", "author": {"id": "4", "username": "ann", "global_name": "Ann"},
       "mentions": [{"id": "5", "username": "bob"}], "attachments": [], "message_reference": {"message_id": "13226"}}]}]
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from parley.conversation import Message
from parley.ingestion.json_stream import JsonArray
from parley.ingestion.reading import Notice, Record, head_of, pieces_of
from parley.ingestion.rows import RowError, read_rows, records_of
from parley.ingestion.shapes import shape_of
from parley.ingestion.timestamps import milliseconds, snowflake_time

SPEECH, COMMANDS = (0, 19), (20, 23)  # message types: said and replied; answers to a command
FORWARD = 1  # type of a reference

CHATS = True


class Thing(msgspec.Struct, gc=False):
    """An attachment, sticker, interaction or snapshot: only that there is one matters."""


class User(msgspec.Struct, gc=False):
    """Who wrote a message, or is mentioned in one."""

    id: str
    username: str | None = None
    global_name: str | None = None
    bot: bool = False


class Reference(msgspec.Struct, gc=False):
    """The message that is answered or forwarded."""

    message_id: str | None = None
    type: int = 0


class Row(msgspec.Struct, gc=False):
    """One message as it comes."""

    id: str
    author: User
    channel_id: str
    type: int = 0
    timestamp: str | None = None
    content: str | None = None
    mentions: list[User] | None = None
    attachments: list[Thing] | None = None
    sticker_items: list[Thing] | None = None
    message_reference: Reference | None = None
    message_snapshots: list[Thing] | None = None
    interaction: Thing | None = None
    interaction_metadata: Thing | None = None
    webhook_id: str | None = None


def recognises(head: bytes, name: str) -> bool:
    """Whether there are messages with Discord's own field names, or a list of channels."""
    shape = shape_of(head)
    messages = {"channel_id", "author.id", "content"} <= shape or {"messages[].channel_id"} <= shape
    return messages or {"thread.id", "messages"} <= shape or _is_channel(shape)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every message."""
    head = head_of(path)
    shape = shape_of(head)
    if _is_channel(shape):
        yield Notice(name, "a list of channels: there is no message in it")
    elif "messages" in shape:
        closing = b"}]" if head.lstrip().startswith(b"[") else b"}"
        array = JsonArray(pieces_of(path), key="messages", where=str(path), closing=closing)
        yield from records_of(array, name, Row, _message)
    else:
        yield from read_rows(path, name, Row, _message)


def _is_channel(shape: frozenset[str]) -> bool:
    return {"id", "guild_id", "type", "name"} <= shape and not {"content", "messages"} & shape


def _message(row: Row, id: str, source: str) -> Message:
    time = milliseconds(row.timestamp)
    if time is None:
        time = snowflake_time(row.id)
    if time is None:
        raise RowError("E003", "no timestamp with an offset from UTC, and the id holds none")
    return Message(
        row.channel_id,
        row.id,
        time,
        row.author.id,
        _names(row.author),
        row.content or "",
        source,
        row.message_reference.message_id if row.message_reference else None,
        row.author.bot or row.webhook_id is not None,
        _kind(row),
        {user.id: _names(user) for user in row.mentions or ()},
    )


def _names(user: User) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (user.username, user.global_name) if name))


def _kind(row: Row) -> str:
    if row.type in COMMANDS or row.interaction or row.interaction_metadata:
        return "command"
    if row.type not in SPEECH:
        return f"system:{row.type}"
    if row.message_snapshots or (row.message_reference and row.message_reference.type == FORWARD):
        return "forward"
    if row.content and not row.content.isspace():
        return "message"
    return "attachment" if row.attachments or row.sticker_items else "empty"
