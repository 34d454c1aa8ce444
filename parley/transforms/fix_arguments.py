"""fix_arguments: the first step of agent data: every call's arguments are a JSON object, or the conversation goes.

{"name": "look", "arguments": "{'at': 'O\\'Hare', 'now': True}"} becomes {"name": "look", "arguments": {"at": "O'Hare",
"now": true}}. Arguments that cannot be read are never replaced by {}, which would teach calls that say nothing.
"""

import ast
import json
from dataclasses import replace
from typing import Any

from parley.conversation import Conversation, Dropped, ToolCall
from parley.params import Section


class Params(Section):
    """Section `transforms.fix_arguments`: no options."""


def apply(conversation: Conversation) -> list[Conversation]:
    """The conversation with parsed arguments; Dropped("unparsable_arguments") where that fails."""
    turns = [
        replace(turn, calls=tuple(ToolCall(call.name, parsed(call.arguments)) for call in turn.calls))
        for turn in conversation.turns
    ]
    return [replace(conversation, turns=tuple(turns))]


def parsed(arguments: Any) -> dict[str, Any]:
    """The object in a string of JSON (written once or twice), of Python, or of JSON with single quotes."""
    for read in (_again, ast.literal_eval, _single_quoted):
        if isinstance(arguments, str):
            try:
                found = read(arguments)
                json.dumps(found, allow_nan=False)  # a set or bytes of Python's, or NaN, is no JSON
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
            arguments = found if isinstance(found, dict) else arguments
    if not isinstance(arguments, dict):
        raise Dropped("unparsable_arguments")
    return arguments


def _again(text: str) -> Any:
    found = json.loads(text)
    return json.loads(found) if isinstance(found, str) else found


def _single_quoted(text: str) -> Any:
    """JSON in single quotes; with any other quote or escape in it, changing them could change what is said."""
    if '"' in text or "\\" in text:
        raise ValueError
    return json.loads(text.replace("'", '"'))
