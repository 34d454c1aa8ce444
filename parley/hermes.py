"""Tool calls in text, as Hermes writes them: <tool_call>{"name": "look", "arguments": {"at": "x"}}</tool_call>.

The format of https://github.com/NousResearch/Hermes-Function-Calling (README.md) and of Qwen's chat templates: any
number of blocks in one answer, text before them.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from parley.conversation import ToolCall

BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>|<tool_call>(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """What an answer says and which calls it makes."""

    text: str  # outside the blocks
    calls: tuple[ToolCall, ...]  # of the blocks that hold one
    broken: int  # blocks that hold none: no JSON, no name, arguments that are no object, or no end


def written(answer: str) -> Written:
    """The calls in an answer, in their order."""
    found = [call_of(block[1]) if block[1] is not None else None for block in BLOCK.finditer(answer)]
    calls = tuple(call for call in found if call)
    return Written(BLOCK.sub("", answer).strip(), calls, len(found) - len(calls))


def call_of(block: str) -> ToolCall | None:
    """The call in the JSON of one block; None where it is none."""
    try:
        found: Any = msgspec.json.decode(block)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not found["name"]:
        return None
    arguments = found.get("arguments")
    return ToolCall(found["name"], arguments) if isinstance(arguments, dict) else None
