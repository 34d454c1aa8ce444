"""One made-up message, and the session in which messages follow one another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

DAY = 86_400_000  # milliseconds
HOUR = 3_600_000
START = int(datetime(2025, 9, 1, tzinfo=UTC).timestamp() * 1000)
DAYS = 365


@dataclass(frozen=True, slots=True)
class Post:
    """One message before it has the export's shape. "<@wren>" in the text mentions the person with that key."""

    channel: str
    time: int  # milliseconds since 1970, UTC; unique in its channel
    author: str  # key in people.yaml
    text: str
    kind: str = "Default"  # the exporter's `type`
    reply_to: "Post | None" = None
    edited: int | None = None  # milliseconds, as `time`
    call_ended: int | None = None  # likewise
    reactions: tuple[str, ...] = ()  # keys of those who gave a thumbs up
    more: Mapping[str, Any] = field(default_factory=dict)  # further fields of the exported message, as they are


class Scene:
    """One session under way in one channel: a clock, and the posts so far."""

    def __init__(self, rng: Random, channel: str, start: int) -> None:
        self.rng = rng
        self.channel = channel
        self.now = start
        self.posts: list[Post] = []

    def say(self, author: str, text: str, *, wait: tuple[int, int] = (15, 240), **fields: Any) -> Post:
        """Adds a post `wait` (least, most) seconds after the last one; now and then it is edited or liked."""
        self.now += self.rng.randrange(wait[0] * 1000, wait[1] * 1000)
        if text and self.rng.random() < 0.03:
            fields["edited"] = self.now + self.rng.randrange(20_000, 600_000)
        if text and self.rng.random() < 0.02:
            fields["reactions"] = tuple(
                self.rng.sample(["wren", "priya", "oskar", "zadie"], k=self.rng.randrange(1, 4))
            )
        self.posts.append(Post(self.channel, self.now, author, text, **fields))
        return self.posts[-1]

    def burst(self, author: str, bubbles: list[str], *, wait: tuple[int, int], reply_to: Post | None = None) -> Post:
        """Several posts of one author within a minute, the first as a reply if to one; the last one is returned."""
        kind = "Reply" if reply_to else "Default"
        post = self.say(author, bubbles[0], wait=wait, kind=kind, reply_to=reply_to)
        for bubble in bubbles[1:]:
            post = self.say(author, bubble, wait=(3, 20))
        return post
