"""What walks through parley: messages become turns, turns make a conversation.

A `Message` is one line of a raw export. A `Conversation` is ordered turns; on disk it is one
ShareGPT row (https://github.com/lm-sys/FastChat, `conversations` of `from`/`value`):

    {"schema": 1, "id": "c42-3", "conversations": [{"from": "human", "value": "hi"},
     {"from": "gpt", "value": "hello"}], "system": "", "tools": "", "group": "c42",
     "time": 1700000000000, "source": "general.json:17", "author": "person-3"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Role = Literal[
    "system",  # instructions, first and once
    "user",  # the person who is answered
    "assistant",  # whom we train: text, or tool calls, or both
    "tool",  # what a called tool returned
]

# ShareGPT's names. A function_call is an assistant turn too: `calls` is filled.
_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}
_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="schema", tag=1):
    """One line of a raw chat export, as ingest writes it to data/interim/messages.jsonl, what is usual left out.

    A msgspec.Struct and no dataclass, because ingest makes millions of them: it is made in a quarter of the time, and
    written straight as its row. Change one with `msgspec.structs.replace`.
    """

    channel: str  # stable id; messages are merged and de-duplicated within it
    id: str  # unique within the channel
    time: int  # milliseconds since 1970, UTC
    author: str  # stable id, never the name
    names: tuple[str, ...]  # every name the export shows for the author: for the target check and redaction
    text: str
    source: str  # file:line, file relative to the input folder
    reply_to: str | None = None  # id of the message that this one answers
    bot: bool = False
    kind: str = "message"  # "message", or why it is no speech: "system:<type>", "attachment", "command" …
    mentioned: Mapping[str, tuple[str, ...]] = msgspec.field(
        default_factory=dict
    )  # author id -> names, of people named in it
    exported: int = 0  # milliseconds since 1970 at which this copy was exported; of two copies the latest stays


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of one tool by the assistant."""

    name: str
    arguments: Mapping[str, Any] | str  # a string as it came where it is no JSON object; validate refuses such a call

    def row(self) -> dict[str, Any]:
        """{"name": ..., "arguments": ...}."""
        given = self.arguments
        return {"name": self.name, "arguments": given if isinstance(given, str) else dict(given)}


@dataclass(frozen=True, slots=True)
class Turn:
    """One role's uninterrupted say."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()  # assistant only; text may stand beside them
    weight: float = 1.0  # of its tokens in the loss: 0 is not trained, below 0 made less likely instead of more


@dataclass(frozen=True, slots=True)
class Conversation:
    """Ordered turns of user, assistant and tool; the system prompt and tools stand beside them."""

    id: str
    turns: tuple[Turn, ...]
    system: str = ""
    tools: str = ""  # a JSON list of tool schemas, as in ShareGPT; "" when there are none
    group: str = ""  # what a split never cuts: the session, the source row, the question's template
    time: int | None = None  # milliseconds since 1970, UTC, of the first message; None when the format has none
    source: str = ""  # file:line of the first message or of the row
    author: str = ""  # pseudonym of the person the assistant's turns come from; "" when unknown
    labels: Mapping[str, str] = field(default_factory=dict)  # what the recipe's metrics must know: language, domain …


class Dropped(Exception):
    """Raised by a transform that can't use a conversation; `reason` is a short code, counted and listed by convert."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def message_of(row: Mapping[str, Any]) -> Message:
    """The message of a row of data/interim/messages.jsonl."""
    return msgspec.convert(row, Message)


class SharegptTurn(msgspec.Struct, gc=False):
    """A turn of a ShareGPT row."""

    from_: str = msgspec.field(name="from")
    value: str


class SharegptRow(msgspec.Struct, gc=False, tag_field="schema", tag=1):
    """What `to_sharegpt` gives, with the schema before it, for rows that never were a Conversation."""

    id: str
    conversations: list[SharegptTurn]
    system: str
    tools: str
    group: str
    time: int | None
    source: str
    author: str = ""


def to_sharegpt(conversation: Conversation) -> dict[str, Any]:
    """The ShareGPT row of a conversation; `from_sharegpt` gives the same conversation back."""
    row = {
        "id": conversation.id,
        "conversations": [_part(turn) for turn in conversation.turns],
        "system": conversation.system,
        "tools": conversation.tools,
        "group": conversation.group,
        "time": conversation.time,
        "source": conversation.source,
        "author": conversation.author,
    }
    return row | {"labels": dict(conversation.labels)} if conversation.labels else row


def from_sharegpt(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a row that `to_sharegpt` wrote (a foreign file is read by formats/sharegpt)."""
    return Conversation(
        id=row["id"],
        turns=tuple([_turn(part) for part in row["conversations"]]),
        system=row["system"],
        tools=row["tools"],
        group=row["group"],
        time=row["time"],
        source=row["source"],
        author=row["author"],
        labels=row.get("labels", {}),
    )


def _part(turn: Turn) -> dict[str, Any]:
    part = {"from": _name(turn), "value": _value(turn)}
    return part if turn.weight == 1.0 else {**part, "weight": turn.weight}


def sharegpt_name(role: Role) -> str:
    """ShareGPT's name of a role."""
    return _NAMES[role]


def _name(turn: Turn) -> str:
    return "function_call" if turn.calls else _NAMES[turn.role]


def _value(turn: Turn) -> str:
    """The text; with calls, the text, a newline, and the calls as JSON (one object, or a list of several)."""
    if not turn.calls:
        return turn.text
    calls = [call.row() for call in turn.calls]
    body = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    return f"{turn.text}\n{body}" if turn.text else body


def _turn(part: Mapping[str, Any]) -> Turn:
    name, value, weight = part["from"], part["value"], part.get("weight", 1.0)
    if name != "function_call":
        return Turn(_ROLES[name], value, (), weight)
    text, _, body = value.rpartition("\n")  # dumps writes no raw newline, so the calls are the last line
    found = json.loads(body)
    calls = found if isinstance(found, list) else [found]
    return Turn("assistant", text, tuple(ToolCall(call["name"], call["arguments"]) for call in calls), weight)


def to_chat(conversation: Conversation) -> list[dict[str, Any]]:
    """role/content messages as `apply_chat_template` takes them: system first if there is one."""
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        message: dict[str, Any] = {"role": turn.role, "content": turn.text}
        if turn.calls:
            message["tool_calls"] = [{"type": "function", "function": call.row()} for call in turn.calls]
        messages.append(message)
    return messages
