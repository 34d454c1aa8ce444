"""think_tags: the fourth step of agent data: what the assistant thought between <think> and </think>.

strip: "<think>need the id</think>\nWhich order?" becomes "Which order?". simia: an answer with a thought but no call is
left out whole, a thought before a call stays as plain text, a call without either is announced. keep: as it is.
"""

import re
from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation, Dropped, ToolCall, Turn
from parley.params import Section
from parley.specialists.hermes import each_answer, written

THOUGHT = re.compile(r"<think>(.*?)</think>\s*", re.DOTALL)
TAG = re.compile(r"</?think>\n?")


class Params(Section):
    """Section `transforms.think_tags`."""

    mode: Literal["strip", "simia", "keep"]


def apply(conversation: Conversation, *, mode: str) -> list[Conversation]:
    """The conversation without thoughts; dropped where a thought does not end, or nothing but a thought was said."""
    if mode == "strip":
        return [each_answer(conversation, _stripped)]
    return [_as_simia(conversation)] if mode == "simia" else [conversation]


def _stripped(text: str, calls: tuple[ToolCall, ...]) -> tuple[str, tuple[ToolCall, ...]]:
    rest = THOUGHT.sub("", text)
    if TAG.search(rest):
        raise Dropped("unclosed_thought")
    if rest != text and not rest.strip() and not calls:
        raise Dropped("nothing_but_a_thought")
    return (rest.strip() if rest != text else text), calls


def _as_simia(conversation: Conversation) -> Conversation:
    turns: list[Turn] = []
    for turn in conversation.turns:
        if turn.role == "assistant" and TAG.search(turn.text) and not (turn.calls or written(turn.text).calls):
            continue
        if turns and turns[-1].role == turn.role == "user":  # Simia leaves two human turns there: no such row can train
            turns[-1] = replace(turns[-1], text=f"{turns[-1].text}\n{turn.text}")
        else:
            turns.append(turn)
    return each_answer(replace(conversation, turns=tuple(turns)), _announced)


def _announced(text: str, calls: tuple[ToolCall, ...]) -> tuple[str, tuple[ToolCall, ...]]:
    if calls and not text:
        return f"I will call the function {', '.join(call.name for call in calls)}.\n", calls
    rest = TAG.sub("", text)
    return (rest.strip("\n") if rest != text else text), calls
