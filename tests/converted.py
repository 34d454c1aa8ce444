"""A workspace for the convert stage: people, their messages, settings, and what the stage wrote."""

from pathlib import Path
from typing import Any

import msgspec
from workspace import set_params

from parley.conversation import Conversation, Message, Turn, from_sharegpt, to_sharegpt
from parley.jsonl import rows_of, write_jsonl

ANA, BEN, CAT, BOT = "100000000000000001", "100000000000000002", "100000000000000003", "100000000000000009"
NAMES = {ANA: ("ana", "Ana Ruiz"), BEN: ("Benedict",), CAT: ("Katarina",), BOT: ("Beeper",)}
MINUTE = 60_000


def said(minute: int, author: str, text: str, **more: Any) -> Message:
    """A message of channel "c" unless said otherwise; its id is its minute."""
    more = {"channel": "c", "id": str(minute), "source": f"Direct Messages - Ana.json:{minute + 1}"} | more
    return Message(time=minute * MINUTE, author=author, names=NAMES[author], text=text, **more)


def workspace(root: Path, messages: list[Message], finished: list[Conversation] = (), **changes: Any) -> Path:
    """A folder ready for convert; Ben is the target unless `changes` say otherwise."""
    set_params(root, **{"convert__target": BEN, **changes})
    write_jsonl(root / "data/interim/messages.jsonl", map(msgspec.to_builtins, messages))
    write_jsonl(root / "data/interim/conversations.jsonl", map(to_sharegpt, finished))
    return root


def made(root: Path) -> list[Conversation]:
    return [from_sharegpt(row) for _, row in rows_of(root / "data/sharegpt/conversations.jsonl")]


def rejects(root: Path) -> list[dict]:
    return [row for _, row in rows_of(root / "data/rejects/convert.jsonl")]


ASKED = (Turn("user", "q"), Turn("assistant", "a"))
TALK = [said(0, ANA, "hi Benedict"), said(1, BEN, "hello Ana"), said(2, ANA, "bye")]
