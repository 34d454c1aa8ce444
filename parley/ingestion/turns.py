"""Turns of foreign rows: from/value or role/content, whichever the row uses, with or without tool calls.

One reader for both dialects, since files mix them: role/content under `conversations`, from/value under `messages`.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from parley.conversation import Conversation, Role, ToolCall, Turn
from parley.ingestion.rows import RowError

# Every name that a role goes by in files of other people's making.
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
}


class Part(msgspec.Struct, gc=False):
    """One turn as it comes; the fields of both dialects."""

    from_: Any = msgspec.field(name="from", default=None)
    value: Any = msgspec.UNSET
    role: Any = None
    content: Any = msgspec.UNSET
    tool_calls: list["Call"] | None = None
    function_call: "Function | None" = None  # before tool_calls there was one call a turn
    tool_call_id: str | None = None
    weight: float | None = None  # of the turn in the loss; OpenAI's 0 and 1


class Function(msgspec.Struct, gc=False):
    """Name and arguments; the arguments an object, or a string that holds one."""

    name: str
    arguments: Any = None


class Call(msgspec.Struct, gc=False):
    """One entry of `tool_calls`; some write the function's fields without `function` around them."""

    function: Function | None = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None


class Row(msgspec.Struct, gc=False):
    """One conversation as it comes."""

    id: Any = None
    conversations: list[Part] | None = None
    conversation: list[Part] | None = None
    messages: list[Part] | None = None
    system: str | None = None
    tools: Any = None
    labels: Any = None  # {"language": "bn"}: what the recipe's metrics must know


def conversation_of(row: Row, id: str, source: str) -> Conversation:
    """The conversation that a row holds. Only what can't be represented raises RowError; the rest validate judges."""
    parts = row.conversations or row.conversation or row.messages
    if not parts:
        raise RowError("E002", "'conversations' or 'messages' must be a non-empty list")
    turns = _in_call_order([_turn(number, part) for number, part in enumerate(parts)], parts)
    system = row.system or ""
    if turns[0].role == "system" and system in ("", turns[0].text):
        system, turns = turns[0].text, turns[1:]
    tools, labels = tools_text(row.tools), labels_of(row.labels)
    return Conversation(id, tuple(turns), system, tools, group=id, source=source, labels=labels)


def labels_of(labels: Any) -> dict[str, str]:
    """The labels of a row, by name; other people's `labels` that are no names and texts are none."""
    given = labels.items() if isinstance(labels, dict) else ()
    return {name: text for name, text in given if isinstance(text, str)}


def tools_text(tools: Any) -> str:
    """The tools as JSON text, from JSON text or from a list of schemas; "" for none, also written as "null"."""
    if tools is None or isinstance(tools, str):
        return "" if tools in (None, "null") else tools
    return json.dumps(tools, ensure_ascii=False)


def _turn(number: int, part: Part) -> Turn:
    name, value = (part.role, part.content) if part.from_ is None else (part.from_, part.value)
    if name is None:
        raise RowError("E003", f"turn {number}: missing 'from' or 'role'")
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        # The name itself could be a person's.
        raise RowError("E004", f"turn {number}: unknown role; expected one of {', '.join(ROLES)}")
    calls, weight = _calls(number, part), 1.0 if part.weight is None else part.weight
    if value is msgspec.UNSET or (value is None and not calls):
        if not calls:
            raise RowError("E003", f"turn {number}: missing 'value' or 'content'")
        value = ""
    text = _text(number, value or "" if calls else value)
    if name == "function_call":
        before, calls = _written_calls(number, text)
        return Turn(role, before, calls, weight)
    return Turn(role, text, calls, weight)


def _text(number: int, value: Any) -> str:
    """The text of a string or of a list of text parts: {"type": "text", "text": "hi"} (or "value")."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RowError("E005", f"turn {number}: value must be a string, got {type(value).__name__}")
    texts = []
    for part in value:
        text = part if isinstance(part, str) else None
        if isinstance(part, dict) and part.get("type", "text") in ("text", "input_text", "output_text"):
            text = part.get("text", part.get("value"))
        if not isinstance(text, str):
            raise RowError("E005", f"turn {number}: a part of the content is not text")
        texts.append(text)
    return "".join(texts)


def _calls(number: int, part: Part) -> tuple[ToolCall, ...]:
    functions = [call.function or Function(call.name or "", call.arguments) for call in part.tool_calls or ()]
    if not all(found.name for found in functions):
        raise RowError("E011", f"turn {number}: tool_calls: missing 'name'")
    if part.function_call:
        functions.append(part.function_call)
    return tuple(ToolCall(found.name, _arguments(number, found.arguments)) for found in functions)


def _arguments(number: int, arguments: Any) -> dict[str, Any] | str:
    """A call's arguments; a string that holds no JSON object stays one, for the transform fix_arguments."""
    if isinstance(arguments, str):
        found = _json(arguments or "{}")
        return found if isinstance(found, dict) else arguments
    if arguments is not None and not isinstance(arguments, dict):
        raise RowError("E011", f"turn {number}: arguments must be an object")
    return arguments or {}


def _written_calls(number: int, value: str) -> tuple[str, tuple[ToolCall, ...]]:
    """(text before, calls) of a function_call turn: JSON of one or a list, after a thought or a line of text."""
    for mark in ("", "</think>", "\n"):
        cut = value.rfind(mark) + len(mark) if mark and mark in value else 0
        found = _json(value[cut:])
        if found is not None:
            break
    else:
        raise RowError("E011", f"turn {number}: function_call is not valid JSON")
    before = value[:cut].removesuffix("\n")
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise RowError("E011", f"turn {number}: function_call: missing 'name'")
    return before, tuple(ToolCall(call["name"], _arguments(number, call.get("arguments"))) for call in calls)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _in_call_order(turns: list[Turn], parts: Sequence[Part]) -> list[Turn]:
    """The same turns, the answers to parallel calls in the order of the calls, which ShareGPT pairs them by."""
    ordered = list(turns)
    for number, part in enumerate(parts):
        ids = [call.id for call in part.tool_calls or ()]
        answers = range(number + 1, number + 1 + len(ids))
        given = [parts[n].tool_call_id if n < len(parts) else None for n in answers]
        if None in ids or None in given:
            continue
        if sorted(map(str, ids)) != sorted(map(str, given)):
            raise RowError("E014", f"turn {number}: the tool answers' ids are not those of its {len(ids)} calls")
        for place, call in zip(answers, ids, strict=True):
            ordered[place] = turns[number + 1 + given.index(call)]
    return ordered
