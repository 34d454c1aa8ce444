"""discord: one channel as DiscordChatExporter writes it with `--format Json`.

https://github.com/Tyrrrz/DiscordChatExporter, DiscordChatExporter.Core/Exporting/JsonMessageWriter.cs (March 2026).
Every field but `id` and `author.id` came or went at some time. A file as it comes:

    {"guild": {"id": "1", "name": "Test"}, "channel": {"id": "9", "type": "GuildTextChat", "name": "general"},
     "exportedAt": "2025-02-09T11:08:07.2155277+00:00", "messages": [
      {"id": "1322667734953099307", "type": "Reply", "timestamp": "2024-12-28T20:49:21.991+00:00", "content": "hi",
       "author": {"id": "4", "name": "ann", "nickname": "Ann", "isBot": false}, "attachments": [], "stickers": [],
       "mentions": [{"id": "5", "name": "bob", "nickname": "Bob"}], "reference": {"messageId": "13226677349530"}}
     ], "messageCount": 1}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from parley.conversation import Message
from parley.errors import ParleyError
from parley.ingestion.json_stream import Decode, Fault, JsonArray
from parley.ingestion.reading import Notice, Record, Rejected, pieces_of
from parley.ingestion.rows import INTERRUPTED
from parley.ingestion.shapes import shape_of
from parley.ingestion.timestamps import milliseconds, snowflake_time

CHATS = True

SPEECH = ("Default", "Reply")  # every other type is written by Discord, in English
SYSTEM = (
    *("RecipientAdd", "RecipientRemove", "Call", "ChannelNameChange", "ChannelIconChange", "ChannelPinnedMessage"),
    *("GuildMemberJoin", "ThreadCreated"),
)
COMMANDS = ("20", "23")  # answers to a slash command and to a context menu: the exporter has no name for them
MIN_MESSAGES, MAX_EMPTY = 20, 0.9
NOBODY: dict[str, tuple[str, ...]] = {}  # is mentioned in most messages


class _Thing(msgspec.Struct, gc=False):
    """An attachment, sticker, embed or interaction: only that there is one matters."""


class _User(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    nickname: str | None = None
    isBot: bool | None = None


class _Reference(msgspec.Struct, gc=False):
    messageId: str | None = None
    type: str | None = None


class _Forwarded(msgspec.Struct, gc=False):
    content: str | None = None


class _Message(msgspec.Struct, gc=False):
    """The fields that are used; decoding no others is what makes this fast."""

    id: str
    author: _User
    type: str = "Default"
    timestamp: str | None = None
    content: str | None = None
    attachments: list[_Thing] | None = None
    stickers: list[_Thing] | None = None
    embeds: list[_Thing] | None = None
    mentions: list[_User] | None = None
    reference: _Reference | None = None
    forwardedMessage: _Forwarded | None = None
    interaction: _Thing | None = None


_decode = msgspec.json.Decoder(_Message).decode
_raw = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(slots=True)
class _Tally:
    """To tell whether the exporter was allowed to read: of all messages those that cannot tell, and the empty ones."""

    seen: int = 0
    other: int = 0
    empty: int = 0


def recognises(head: bytes, name: str) -> bool:
    """Whether guild and channel, with their ids, come before the messages."""
    return {"guild.id", "channel.id", "messages"} <= shape_of(head)


def read(path: Path, name: str) -> Iterator[Record]:
    """Every message, in the file's order. ParleyError when nearly all are empty: the bot was not allowed to read."""
    array = JsonArray(pieces_of(path), key="messages", where=str(path))
    channel = array.header.get("channel")
    channel_id = channel.get("id") if isinstance(channel, dict) else None
    if not isinstance(channel_id, str):
        raise ParleyError(f"{path}: not a DiscordChatExporter file: no channel with an id before the messages")
    exported = milliseconds(array.header.get("exportedAt")) or 0
    tally = _Tally()

    record = _reader(name, channel_id, exported, tally)
    for part in array.batches(record):
        if isinstance(part, Fault):
            yield Rejected(f"{name}:{part.line}", "", part.code, part.reason)
        else:
            tally.seen += len(part)
            yield from part
    spoken = tally.seen - tally.other
    if spoken >= MIN_MESSAGES and tally.empty > MAX_EMPTY * spoken:
        raise ParleyError(
            f"{path}: {tally.empty} of {spoken} messages have no content: the bot that exported them lacked the "
            "MESSAGE CONTENT intent. Turn it on in Discord's developer portal (Bot, Privileged Gateway Intents) "
            "and export again"
        )
    if array.interrupted:
        yield Notice(name, INTERRUPTED)


def _reader(name: str, channel: str, exported: int, tally: _Tally) -> Decode[Message | Rejected]:
    """Makes a message of an element. One function and no call too many: it runs a million times a gigabyte."""

    def record(element: bytes, line: int, number: int) -> Message | Rejected:
        source = f"{name}:{line}"
        try:
            found = _decode(element)
        except msgspec.ValidationError as error:
            _raw(element)  # the decoder stopped before the end, which may be no JSON
            # msgspec names the place and the types, such as "Expected `str`, got `null` - at `$.author.id`".
            return Rejected(source, "", "E003" if "missing" in str(error) else "E005", str(error))
        author, text, reference = found.author, found.content or "", found.reference
        time = milliseconds(found.timestamp)
        if time is None:
            time = snowflake_time(found.id)
        if time is None or not author.id or "\0" in text:
            tally.other += 1
            if "\0" in text:
                return Rejected(source, found.id, "E017", "invalid character U+0000")
            lacking = "no author id" if time else "no timestamp with an offset from UTC, and the id holds none"
            return Rejected(source, found.id, "E003", lacking)
        if found.type == "Default" and not reference and text and not text.isspace() and found.interaction is None:
            kind = "message" if found.forwardedMessage is None else "forward"  # nearly all
        else:
            kind = _kind(found, text)
        if author.isBot is True or found.type not in SPEECH:
            tally.other += 1
        elif kind == "empty" and not found.embeds:
            tally.empty += 1
        return Message(
            channel,
            found.id,
            time,
            author.id,
            _names(author),
            text,
            source,
            reference.messageId if reference else None,
            author.isBot is True,
            kind,
            {user.id: _names(user) for user in found.mentions if user.id} if found.mentions else NOBODY,
            exported,
        )

    return record


def _names(user: _User) -> tuple[str, ...]:
    name, nickname = user.name, user.nickname
    if name and nickname and name != nickname:
        return (name, nickname)
    shown = name or nickname
    return (shown,) if shown else ()


def _kind(found: _Message, text: str) -> str:
    """Why a message is no speech; a bot's answer to a command counts as a command."""
    if found.type in SPEECH and found.interaction is None:
        if found.forwardedMessage or (found.reference and found.reference.type == "Forward"):
            return "forward"
        if text and not text.isspace():
            return "message"
        return "attachment" if found.attachments or found.stickers else "empty"
    if found.interaction is not None or found.type in COMMANDS:
        return "command"
    # Kinds end up in counts, so nothing but the exporter's own words and numbers may pass.
    known = found.type in SYSTEM or (found.type.isdecimal() and found.type.isascii() and len(found.type) < 4)
    return f"system:{found.type}" if known else "system:other"
