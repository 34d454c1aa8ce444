"""Tool calls in text, as Hermes writes them: <tool_call>{"name": "look", "arguments": {"at": "x"}}</tool_call>.

The format of https://github.com/NousResearch/Hermes-Function-Calling (README.md) and of Qwen's chat templates: any
number of blocks in one answer, text before them; results in <tool_response>, and the tools in the system prompt
between <tools> and </tools>, as a JSON list or one a line.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from parley.conversation import Conversation, ToolCall

BLOCK = re.compile(r"\n?<tool_call>(.*?)</tool_call>\n?|\n?<tool_call>(.*)\Z", re.DOTALL)
RESPONSE = re.compile(r"<tool_response>\n?(.*?)\n?</tool_response>", re.DOTALL)
TOOLS = re.compile(r"<tools>((?:(?!<tools>).)*?)</tools>", re.DOTALL)
# What Qwen's template and Simia put around the tools, from its heading to the example of a call.
FRAME = re.compile(r"# Tools\n((?!# ).)*<tools>.*</tools>((?!<tools>).)*</tool_call>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """What an answer says and which calls it makes."""

    text: str  # outside the blocks, each with the line breaks around it
    calls: tuple[ToolCall, ...]  # of the blocks that hold one
    broken: int = 0  # blocks that hold none: no JSON, no name, arguments that are no object, or no end


def written(answer: str) -> Written:
    """The calls in an answer, in their order."""
    found = [call_of(block[1]) if block[1] is not None else None for block in BLOCK.finditer(answer)]
    calls = tuple(call for call in found if call)
    text = BLOCK.sub("", answer)
    return Written(text if text.strip() else "", calls, len(found) - len(calls))


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


def in_text(text: str, calls: tuple[ToolCall, ...]) -> str:
    """The answer as Simia writes it: the text, then a block for each call."""
    blocks = [f"<tool_call>\n{json.dumps(call.row(), ensure_ascii=False)}\n</tool_call>\n" for call in calls]
    return "".join([f"{text}\n" if text and calls else text, *blocks])


def each_answer(
    conversation: Conversation, change: Callable[[str, tuple[ToolCall, ...]], tuple[str, tuple[ToolCall, ...]]]
) -> Conversation:
    """The conversation with text and calls of every assistant's turn changed, whichever form the calls are in."""
    turns = []
    for turn in conversation.turns:
        if turn.role == "assistant":
            parts = written(turn.text) if not turn.calls else Written(turn.text, turn.calls)
            as_text = bool(parts.calls and not turn.calls)
            if parts.broken:
                parts, as_text = Written(turn.text, ()), False
            text, calls = change(parts.text, parts.calls)
            turn = replace(turn, text=in_text(text, calls) if as_text else text, calls=() if as_text else calls)
        turns.append(turn)
    return replace(conversation, turns=tuple(turns))


def tools_in(system: str) -> tuple[str, str]:
    """(system prompt without its tools and what stands around them, the tools as a JSON list or "")."""
    for block in TOOLS.finditer(system):
        tools = _tools(block[1])
        if tools:
            rest = FRAME.sub("", system) if FRAME.search(system) else system[: block.start()] + system[block.end() :]
            return rest.strip(), json.dumps(tools, ensure_ascii=False)
    return system, ""


def _tools(text: str) -> list[Any]:
    """The tools of a JSON list, or of one JSON object a line; [] where it is neither."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return []
    tools = found if isinstance(found, list) else [found]
    return tools if all(isinstance(tool, dict) for tool in tools) else []
