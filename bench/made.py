"""Made-up inputs of any size, the same in every run: a Discord export with the fields that come and go, and rows."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

WORDS = (
    "the of to and a in is it you that he was for on are with as I his they be at one have this from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which do their time if will "
    "way about many then them would write like so these her long make thing see him two has look more day could go "
    "did my sound no most number who over know water than call first people may down side been now find any new work"
)
COLOURS = "😀 🎉 café naïve über straße привет 谢谢 “quoted” … don’t https://example.org/a?b=c back\\slash"
PLAIN, COLOURFUL = WORDS.split(" "), COLOURS.split(" ")  # one text in six has some of the latter: English chat
START = datetime(2022, 1, 1, tzinfo=UTC)
EPOCH = 1_420_070_400_000  # milliseconds: Discord's ids count from here


def text(draw: random.Random, most: int) -> str:
    """Words; one text in six with emoji, other scripts or a backslash, one in ten with a quotation or several lines."""
    words = draw.choices(PLAIN, k=draw.randint(1, most))
    luck = draw.random()
    if luck < 1 / 6:
        words += draw.choices(COLOURFUL, k=2)
    if luck > 0.95:
        words.append('"so it is"')
    return ("\n" if 0.9 < luck < 0.95 else " ").join(words)


def user(person: int, *, modern: bool) -> dict[str, Any]:
    """An author as the exporter writes it; older versions know no roles."""
    roles = [{"id": str(n), "name": f"role {n}", "color": None, "position": n} for n in range(person % 3)]
    return {
        "id": str(900_000_000_000_000_000 + person),
        "name": f"person{person}",
        "discriminator": "0000",
        "nickname": f"Person {person}",
        **({"color": "#E91E63"} if modern else {}),
        "isBot": person == 19,
        **({"roles": roles} if modern else {}),
        "avatarUrl": f"https://cdn.example/embed/avatars/{person % 5}.png",
    }


def messages(seed: int, size: int) -> Iterator[dict[str, Any]]:
    """About `size` bytes of messages: sessions of a few minutes, hours apart; the oldest by an older exporter."""
    draw, when, written, number = random.Random(seed), START, 0, 0
    previous = ""
    while written < size:
        number += 1
        when += timedelta(milliseconds=draw.randrange(2_000, 60_000) if draw.random() < 0.97 else 9_000_000)
        id = str((int(when.timestamp() * 1000) - EPOCH << 22) + number % 4096)
        modern, odd = written > size // 4, draw.random()
        author = user(draw.randrange(20), modern=modern)
        person = {"id": author["id"], "name": author["name"], "nickname": author["nickname"]}
        reply = bool(previous) and odd < 0.15
        message = {
            "id": id,
            "type": "Reply" if reply else "GuildMemberJoin" if odd > 0.99 else "Default",
            "timestamp": when.isoformat(timespec="milliseconds"),
            "timestampEdited": when.isoformat(timespec="milliseconds") if odd > 0.95 else None,
            **({"callEndedTimestamp": None} if modern else {}),
            "isPinned": False,
            "content": "" if 0.9 < odd < 0.93 else text(draw, 40),
            "author": author,
            "attachments": [{"id": id, "url": "https://cdn.example/a.png", "fileName": "a.png", "fileSizeBytes": 9}]
            if 0.9 < odd < 0.94
            else [],
            "embeds": [{"title": "a page", "url": "https://example.org", "fields": []}] if 0.2 < odd < 0.22 else [],
            **({"stickers": []} if modern else {}),
            "reactions": [{"emoji": {"id": "", "name": "👍"}, "count": 2, "users": [person]}] if odd > 0.93 else [],
            "mentions": [person] if 0.3 < odd < 0.4 else [],
            **({"reference": {"messageId": previous, "channelId": "4", "guildId": "1"}} if reply else {}),
            **({"inlineEmojis": []} if modern else {}),
        }
        previous = id
        written += 900
        yield message


def write_export(path: Path, size: int, *, seed: int = 7, shape: str = "indented") -> None:
    """One channel as DiscordChatExporter writes it, or `minified`, or `reversed`: newest first."""
    indent = -1 if shape == "minified" else 2
    gap = b"," if indent < 0 else b",\n    "
    channel = {"id": f"40000000000000000{seed}", "type": "GuildTextChat", "categoryId": "3", "name": "general"}
    head = {"guild": {"id": "1", "name": "Bench"}, "channel": channel, "exportedAt": "2025-01-01T00:00:00+00:00"}
    found = messages(seed, size)
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(head), indent=indent)[:-1].rstrip() + b',"messages": [')
        for place, message in enumerate(reversed(list(found)) if shape == "reversed" else found):
            element = msgspec.json.format(msgspec.json.encode(message), indent=indent).replace(b"\n", b"\n    ")
            file.write((gap if place else gap[1:]) + element)
        file.write(b'\n  ],\n  "messageCount": 1\n}\n')


def write_rows(path: Path, size: int, *, dialect: str, seed: int = 7) -> None:
    """JSON lines of conversations of 2 to 8 turns, about 700 bytes each, in ShareGPT's words or OpenAI's."""
    draw, written = random.Random(seed), 0
    key, role, value, who = {
        "sharegpt": ("conversations", "from", "value", ("human", "gpt")),
        "openai": ("messages", "role", "content", ("user", "assistant")),
    }[dialect]
    number = 0
    with path.open("wb") as file:
        while written < size:
            turns = draw.choice((2, 2, 4, 4, 6, 8))
            said = [{role: who[turn % 2], value: text(draw, 48)} for turn in range(turns)]
            extra = {"system": "Be brief."} if dialect == "sharegpt" and number % 10 == 0 else {}
            row: dict[str, Any] = {**({"id": f"row{number}"} if number % 2 else {}), key: said, **extra}
            written += file.write(msgspec.json.encode(row) + b"\n")
            number += 1
