"""Control strings: what somebody typed never becomes a control token of the model."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from parley.conversation import Conversation, ToolCall
from parley.hermes import BLOCK, call_of, tools_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAG = re.compile("(</?tool_call>)")
JOINER = "\u2060"  # word joiner: invisible and without width


def control_strings(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """Matches every string that the tokenizer turns into a control token, the longest first."""
    strings = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    # Runs of blanks and single characters are ordinary vocabulary in some tokenizers, and control nothing.
    strings = {string for string in strings if len(string) > 1 and string.strip(" \t\r\n\u2581")}
    longest_first = sorted(strings, key=lambda string: (-len(string), string))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def neutralise(control: re.Pattern[str], conversation: Conversation) -> tuple[Conversation, int]:
    """The conversation with a word joiner inside each control string that somebody typed, and how many there were.

    Of agents whose data holds its calls as text (tools in the system prompt, convert.transforms without to_hermes), the
    tags around the assistant's real calls, and around the example in the system prompt, stay what they are.
    """
    found = 0

    def clean(value: Any) -> Any:
        nonlocal found
        if isinstance(value, str):
            # Again until none is left: a broken string can leave one that overlapped it.
            while (result := control.subn(_broken, value))[1]:
                value = result[0]
                found += result[1]
            return value
        if isinstance(value, Mapping):
            return {clean(key): clean(inner) for key, inner in value.items()}
        return [clean(inner) for inner in value] if isinstance(value, list) else value

    def clean_around(text: str) -> str:
        return "".join(part if _TAG.fullmatch(part) else clean(part) for part in _TAG.split(text))

    def clean_answer(text: str) -> str:
        parts, place = [], 0
        for block in BLOCK.finditer(text):
            if block[1] is not None and call_of(block[1]):
                parts += [clean(text[place : block.start()]), clean_around(block[0])]
                place = block.end()
        return "".join([*parts, clean(text[place:])])

    in_text = "<tools>" in conversation.system and bool(tools_in(conversation.system)[1])
    turns = tuple(
        replace(
            turn,
            text=clean_answer(turn.text) if in_text and turn.role == "assistant" else clean(turn.text),
            calls=tuple(ToolCall(clean(c.name), clean(c.arguments)) for c in turn.calls),
        )
        for turn in conversation.turns
    )
    # The template sees the tools decoded, so an escape in the JSON must not hide a control string.
    tools = json.dumps(clean(json.loads(conversation.tools)), ensure_ascii=False) if conversation.tools else ""
    cleaned = replace(
        conversation,
        turns=turns,
        system=clean_around(conversation.system) if in_text else clean(conversation.system),
        tools=tools,
    )
    return (cleaned if found else conversation), found


def _broken(match: re.Match[str]) -> str:
    return match[0][0] + JOINER + match[0][1:]
