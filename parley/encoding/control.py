"""Control strings: what somebody typed never becomes a control token of the model."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from parley.conversation import Conversation, ToolCall, Turn
from parley.specialists.hermes import BLOCK, call_of, tools_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOINER = "\u2060"  # word joiner: invisible and without width
CUT = "\ufdd0"  # a code point that is no character: here the text is cut, and its two sides are tokenized apart
_MARKS = re.compile("[\ufdd0-\ufdd3]")  # CUT, and those of parley.encoding.rendering: nobody's text may hold them
_TAG = re.compile("(</?tool_call>)")
_RESULT_TAG = re.compile("(</?tool_response>)")
_RESULTS = re.compile(r"\s*<tool_response>.*</tool_response>\s*", re.DOTALL)
_THOUGHT = re.compile(r"(\s*<think>)(.*?)(</think>)", re.DOTALL)


def control_strings(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    """Matches every string that the tokenizer turns into a control token, the longest first."""
    strings = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    # Runs of blanks and single characters are ordinary vocabulary in some tokenizers, and control nothing.
    strings = {string for string in strings if len(string) > 1 and string.strip(" \t\r\n\u2581")}
    longest_first = sorted(strings, key=lambda string: (-len(string), string))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def neutralise(control: re.Pattern[str], conversation: Conversation, *, by: str = JOINER) -> tuple[Conversation, int]:
    """The conversation with `by` inside each control string that somebody typed, and how many there were.

    Of agents whose data holds its calls as text (tools in the system prompt, convert.transforms without to_hermes), the
    tags around the assistant's real calls, around results, and around the example in the system prompt, stay what they
    are; and so do, in all data, those around a thought that an answer begins with.
    """
    calls = [call.row() for turn in conversation.turns if turn.calls for call in turn.calls]
    objects = conversation.tools + json.dumps(calls, ensure_ascii=False) if calls else conversation.tools
    if "\\" not in objects:  # what JSON without an escape says is what it shows
        text = "\n".join([objects, conversation.system, *[turn.text for turn in conversation.turns]])
        if not control.search(text) and not _MARKS.search(text):
            return conversation, 0
    in_text = "<tools>" in conversation.system and bool(tools_in(conversation.system)[1])
    breaker = _Breaker(control, by, in_text)
    cleaned = replace(
        conversation,
        turns=tuple(map(breaker.turn, conversation.turns)),
        system=breaker.around(conversation.system, _TAG) if in_text else breaker.clean(conversation.system),
        # The template sees the tools decoded, so an escape in the JSON must not hide a control string.
        tools=json.dumps(breaker.clean(json.loads(conversation.tools)), ensure_ascii=False)
        if conversation.tools
        else "",
    )
    return (cleaned if breaker.found else conversation), breaker.found


@dataclass(slots=True)
class _Breaker:
    """Breaks control strings in one conversation, and counts them."""

    control: re.Pattern[str]
    by: str
    in_text: bool  # whether the conversation's calls stand in its texts
    found: int = 0

    def clean(self, value: Any) -> Any:
        """The value with every control string in it broken, in keys too."""
        if isinstance(value, str):
            value, marks = _MARKS.subn("\ufffd", value)
            self.found += marks
            # Again until none is left: a broken string can leave one that overlapped it.
            while (result := self.control.subn(lambda match: match[0][0] + self.by + match[0][1:], value))[1]:
                value = result[0]
                self.found += result[1]
            return value
        if isinstance(value, Mapping):
            return {self.clean(key): self.clean(inner) for key, inner in value.items()}
        return [self.clean(inner) for inner in value] if isinstance(value, list) else value

    def around(self, text: str, tag: re.Pattern[str]) -> str:
        """The text, all but its tags cleaned."""
        return "".join(part if tag.fullmatch(part) else self.clean(part) for part in tag.split(text))

    def answer(self, text: str) -> str:
        """The assistant's text, but the tags around a thought at its start and around its calls."""
        parts, place = [], 0
        if thought := _THOUGHT.match(text):
            parts, place = [thought[1], self.clean(thought[2]), thought[3]], thought.end()
        for block in BLOCK.finditer(text, place) if self.in_text else ():
            if block[1] is not None and call_of(block[1]):
                parts += [self.clean(text[place : block.start()]), self.around(block[0], _TAG)]
                place = block.end()
        return "".join([*parts, self.clean(text[place:])])

    def turn(self, turn: Turn) -> Turn:
        """The turn, cleaned as its role asks."""
        if turn.role == "assistant":
            text = self.answer(turn.text)
        elif self.in_text and _RESULTS.fullmatch(turn.text):
            text = self.around(turn.text, _RESULT_TAG)
        else:
            text = self.clean(turn.text)
        calls = tuple(ToolCall(self.clean(call.name), self.clean(call.arguments)) for call in turn.calls)
        return replace(turn, text=text, calls=calls)
