"""Posts to the JSON files that DiscordChatExporter writes, its awkward sides included.

Shape: https://github.com/Tyrrrz/DiscordChatExporter (JsonMessageWriter.cs, 4f29fa6).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from tools.samples.phrases import read_table
from tools.samples.posts import DAY, DAYS, START, Post

_GUILD = {"id": "300000000000000001", "name": "Saltmarsh", "iconUrl": "https://cdn.example/icons/saltmarsh.png"}
_NO_GUILD = {"id": "0", "name": "Direct Messages", "iconUrl": "https://cdn.example/embed/avatars/0.png"}
_EPOCH = 1_420_070_400_000  # Discord's, in milliseconds
_EMOJI = {"🦉": "owl", "😄": "smile"}
_CUSTOM = {"tidepool": "500000000000000001"}


class Exporter:
    """Writes files of one set of posts; ids follow from times, as Discord's do."""

    def __init__(self, posts: list[Post]) -> None:
        tables = read_table("people")
        self.people: dict[str, dict[str, Any]] = tables["people"]
        self.channels: dict[str, dict[str, Any]] = tables["channels"]
        self.files: list[dict[str, Any]] = tables["files"]
        self.posts = posts

    def documents(self) -> dict[str, str]:
        """File name -> content of every export."""
        return {self.name(file): self._document(file) for file in self.files}

    def name(self, file: Mapping[str, Any]) -> str:
        channel = self.channels[file["channel"]]
        place = "Direct Messages" if channel["type"] == "DirectTextChat" else f"Saltmarsh - {channel['category']}"
        window = ""
        if file.get("window"):
            window = f" (before {_date(file['until'])})" if file["from"] == 0 else f" (after {_date(file['from'])})"
        part = f" [part {file['part']}]" if file.get("part", 1) > 1 else ""
        return f"{place} - {channel['name']} [{channel['id']}]{window}{part}.json"

    def _document(self, file: Mapping[str, Any]) -> str:
        start, end = START + file["from"] * DAY, START + file["until"] * DAY
        posts = [post for post in self.posts if post.channel == file["channel"] and start <= post.time < end]
        messages = [self._message(post, file) for post in posts]
        window = file.get("window")
        document = {
            "guild": _NO_GUILD if file["channel"] == "dm" else _GUILD,
            "channel": {**self.channels[file["channel"]], "iconUrl": None},
            "dateRange": {
                "after": _stamp(start, file) if window and file["from"] else None,
                "before": _stamp(end, file) if window and file["until"] < DAYS else None,
            },
            "exportedAt": _stamp(START + file["exported"] * DAY + 29_715_000, file),
            "messages": messages[::-1] if file.get("reverse") else messages,
            "messageCount": len(messages),
        }
        text = json.dumps(document, ensure_ascii=False, indent=2)
        if file.get("interrupted"):
            # The exporter died inside its last message: no `]`, no messageCount, no `}`.
            return text[: text.rindex('"timestamp": ')]
        return text

    def _message(self, post: Post, file: Mapping[str, Any]) -> dict[str, Any]:
        # An edit made after the export is not in it.
        edited = post.edited if post.edited and post.edited < START + file["exported"] * DAY else None
        message: dict[str, Any] = {
            "id": _snowflake(post),
            "type": post.kind,
            "timestamp": _stamp(post.time, file),
            "timestampEdited": edited and _stamp(edited, file),
            "callEndedTimestamp": post.call_ended and _stamp(post.call_ended, file),
            "isPinned": False,
            "content": self._content(post.text, file),
            "author": self._user(post.author, file),
            "attachments": [],
            "embeds": [_embed(url) for url in re.findall(r"https://[^\s,]+", post.text)],
            "stickers": [],
            "reactions": [self._thumbs_up(post.reactions, file)] if post.reactions else [],
            "mentions": [self._user(key, file) for key in re.findall(r"<@(\w+)>", post.text)],
        }
        message |= post.more
        if post.reply_to:
            guild = "0" if post.channel == "dm" else _GUILD["id"]
            channel = self.channels[post.channel]["id"]
            message["reference"] = {"messageId": _snowflake(post.reply_to), "channelId": channel, "guildId": guild}
        if not file.get("raw"):
            message["inlineEmojis"] = _inline_emojis(post.text)
        return message

    def _thumbs_up(self, keys: tuple[str, ...], file: Mapping[str, Any]) -> dict[str, Any]:
        users = [{name: value for name, value in self._user(key, file).items() if name != "roles"} for key in keys]
        return {"emoji": _emoji("", "👍", "thumbsup"), "count": len(users), "users": users}

    def _content(self, text: str, file: Mapping[str, Any]) -> str:
        if file.get("raw"):
            text = re.sub(r"<@(\w+)>", lambda found: f"<@{self.people[found[1]]['id']}>", text)
            return re.sub(r":(tidepool):", lambda found: f"<:{found[1]}:{_CUSTOM[found[1]]}>", text)
        return re.sub(r"<@(\w+)>", lambda found: "@" + self._nickname(found[1], file), text)

    def _nickname(self, key: str, file: Mapping[str, Any]) -> str:
        first, second = self.people[key]["nicknames"]
        return second if file["exported"] > 300 else first

    def _user(self, key: str, file: Mapping[str, Any]) -> dict[str, Any]:
        person = self.people[key]
        user = {
            "id": person["id"],
            "name": person["name"],
            "discriminator": "0412" if person["style"] == "bot" else "0000",
            "nickname": self._nickname(key, file),
            "color": person["color"],
            "isBot": person["style"] == "bot",
        }
        if not file.get("raw"):
            user["roles"] = []
        return user | {"avatarUrl": f"https://cdn.example/embed/avatars/{int(person['id']) % 6}.png"}


def _snowflake(post: Post) -> str:
    return str((post.time - _EPOCH) << 22 | sum(map(ord, post.channel)))


def _date(day: int) -> str:
    return datetime.fromtimestamp((START + day * DAY) / 1000, UTC).strftime("%Y-%m-%d")


def _stamp(time: int, file: Mapping[str, Any]) -> str:
    """ISO time in the exporting machine's zone, milliseconds without trailing zeros, as .NET writes it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)
    local = moment.astimezone(timezone(timedelta(hours=_offset(moment, file.get("zone", 0)))))
    fraction = f".{time % 1000:03}".rstrip("0").rstrip(".")
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{local:%z}"[:-2] + ":00"


def _offset(moment: datetime, zone: int | str) -> int:
    """Hours from UTC; "europe" is central European time with the year's two changes of clock."""
    if isinstance(zone, int):
        return zone
    winter = datetime(2025, 10, 26, 1, tzinfo=UTC) <= moment < datetime(2026, 3, 29, 1, tzinfo=UTC)
    return 1 if winter else 2


def _inline_emojis(text: str) -> list[dict[str, Any]]:
    found = [_emoji("", char, code) for char, code in _EMOJI.items() if char in text]
    return found + [_emoji(_CUSTOM[name], name, name) for name in _CUSTOM if f":{name}:" in text]


def _emoji(id: str, name: str, code: str) -> dict[str, Any]:
    return {"id": id, "name": name, "code": code, "isAnimated": False, "imageUrl": f"https://cdn.example/{code}.svg"}


def _embed(url: str) -> dict[str, Any]:
    page = {"title": "A page", "url": url, "timestamp": None, "description": "What the page says about itself."}
    return {**page, "images": [], "fields": [], "inlineEmojis": []}
