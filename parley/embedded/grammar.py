"""Conversations for the embedded base model, made from the tables in corpus.yaml.

    user: What does a fox eat?          assistant: A fox eats mice and birds.
    user: And where does it live?       assistant: It lives in a den.

The same seed and number give the same conversations.
"""

import functools
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from parley.conversation import Conversation, ToolCall, Turn
from parley.params import read_yaml

Phrasing = Literal[
    "ask",  # what the model is trained on
    "held_out",  # what measures it: other phrasings of the same intents
]

_TOOL_SHARE = 0.12  # of the conversations have tools
_LONG_SHARE = 0.03  # are long: the model must have seen positions beyond the first hundreds of tokens
_LOWER_SHARE = 0.4  # are typed as people type in a chat: no capitals, no full stop
_LEAD_IN_SHARE = 0.25  # of the questions have a lead-in
_SYSTEM_SHARE = 0.15  # of the conversations have a system prompt
_SYLLABLES = ["ba", "do", "fi", "ga", "ka", "lo", "mi", "nu", "pe", "ra", "so", "ti", "ve", "za", "lin", "mar", "tor"]

_ALTERNATIVES = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{(\w+?)(_\d)?(?:\.(\w+))?\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


def corpus(seed: int, conversations: int) -> list[Conversation]:
    """`conversations` conversations to train on."""
    rng = random.Random(f"corpus {seed}")
    return [_conversation(rng, f"tiny-{index}", "ask") for index in range(conversations)]


def held_out(seed: int, conversations: int) -> list[Conversation]:
    """Conversations whose questions are asked in phrasings that `corpus` never uses."""
    rng = random.Random(f"held out {seed}")
    return [_conversation(rng, f"tiny-held-out-{index}", "held_out") for index in range(conversations)]


def corpus_texts(seed: int, conversations: int) -> Iterator[str]:
    """Every turn and system prompt of `corpus`, for a search of overlaps."""
    for conversation in corpus(seed, conversations):
        yield conversation.system
        yield from (turn.text for turn in conversation.turns)


def corpus_entities() -> dict[str, list[str]]:
    """Slot -> its values: the names, places, animals and so on that the corpus speaks of."""
    return {slot: list(values) for slot, values in _tables()["slots"].items()}


@functools.cache
def _tables() -> dict[str, Any]:
    return read_yaml(Path(__file__).with_name("corpus.yaml"))


class _Slots:
    """The values of one intent's slots: drawn at their first use, then kept for answers and follow-ups."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.drawn: dict[str, str] = {}

    def fill(self, pattern: str) -> str:
        """The pattern with one of each alternatives and with the slots' values."""
        while True:
            chosen = _ALTERNATIVES.sub(lambda match: self.rng.choice(match[1].split("|")), pattern)
            if chosen == pattern:
                break
            pattern = chosen
        return _ARTICLE.sub(r"\1n ", _SLOT.sub(self._value, pattern))

    def _value(self, match: re.Match[str]) -> str:
        slot, number, attribute = match[1], match[2] or "", match[3]
        value = self.drawn.get(slot + number)
        if value is None:
            value = self.drawn[slot + number] = self._draw(slot)
        return _tables()["slots"][slot][value][attribute] if attribute else value

    def _draw(self, slot: str) -> str:
        if slot == "made_up":
            return "".join(self.rng.choices(_SYLLABLES, k=self.rng.randint(2, 3)))
        if slot == "words":
            kinds = self.rng.choices(["word", "made_up", "name", "minutes"], [5, 2, 2, 1], k=self.rng.randint(1, 7))
            return " ".join(self._draw(kind) for kind in kinds)
        taken = {value for key, value in self.drawn.items() if key.startswith(slot)}
        return self.rng.choice([value for value in _tables()["slots"][slot] if value not in taken])


def _conversation(rng: random.Random, name: str, phrasing: Phrasing) -> Conversation:
    if rng.random() < _TOOL_SHARE:
        return _tool_conversation(rng, name, phrasing)
    tables = _tables()
    write = _typed if rng.random() < _LOWER_SHARE else _written
    turns: list[Turn] = []
    system = rng.choice(tables["systems"]) if rng.random() < _SYSTEM_SHARE else ""
    if rng.random() < 0.35:
        opening = _pick(rng, tables["opening"])
        slots = _Slots(rng)
        system = slots.fill(opening["system"]) if "system" in opening else system
        turns += _exchanges(slots, opening, phrasing, write)
    count = rng.randint(6, 20) if rng.random() < _LONG_SHARE else rng.choices([1, 2, 3], [5, 3, 2])[0]
    for _ in range(count):
        turns += _exchanges(_Slots(rng), _pick(rng, tables["intents"]), phrasing, write)
    if rng.random() < 0.2:
        turns += _exchanges(_Slots(rng), _pick(rng, tables["closing"]), phrasing, write)
    return Conversation(name, tuple(turns), system)


def _pick(rng: random.Random, intents: dict[str, Any]) -> dict[str, Any]:
    return rng.choices(list(intents.values()), [intent.get("weight", 1) for intent in intents.values()])[0]


def _exchanges(
    slots: _Slots, intent: dict[str, Any], phrasing: Phrasing, write: Callable[[str], str]
) -> Iterator[Turn]:
    """A question and its answer, then some of the intent's follow-ups."""
    rng = slots.rng
    reply = str if intent.get("verbatim") and write is _written else write
    lead_in = rng.choice(_tables()["lead_ins"]) + " " if rng.random() < _LEAD_IN_SHARE else ""
    yield Turn("user", write(lead_in + slots.fill(rng.choice(intent[phrasing]))))
    yield Turn("assistant", reply(slots.fill(rng.choice(intent["answer"]))))
    follow_ups = intent.get("more", [])
    for follow_up in rng.sample(follow_ups, rng.randint(0, len(follow_ups))):
        yield Turn("user", write(slots.fill(follow_up["ask"])))
        yield Turn("assistant", reply(slots.fill(follow_up["answer"])))


def _written(text: str) -> str:
    return text[:1].upper() + text[1:]


def _typed(text: str) -> str:
    return text.lower().removesuffix(".")


def _tool_conversation(rng: random.Random, name: str, phrasing: Phrasing) -> Conversation:
    """A request, the call of the one right tool among up to three, its result, and the answer."""
    tables = _tables()["tools"]
    right = rng.choice(list(tables))
    offered = [*rng.sample([tool for tool in tables if tool != right], rng.randint(0, 2)), right]
    rng.shuffle(offered)
    tools = json.dumps([_schema(tool, tables[tool]) for tool in offered])
    if rng.random() < 0.2:  # a question that needs no tool
        turns = _exchanges(_Slots(rng), _pick(rng, _tables()["intents"]), phrasing, _written)
        return Conversation(name, tuple(turns), tools=tools)
    slots, tool = _Slots(rng), tables[right]
    ask = Turn("user", _written(slots.fill(rng.choice(tool[phrasing]))))
    arguments = {key: slots.fill(value) for key, value in tool["arguments"].items()}
    result = json.dumps({key: slots.fill(value) for key, value in tool["result"].items()})
    answer = Turn("assistant", slots.fill(rng.choice(tool["answer"])))
    call = Turn("assistant", "", (ToolCall(right, arguments),))
    return Conversation(name, (ask, call, Turn("tool", result), answer), tools=tools)


def _schema(name: str, tool: dict[str, Any]) -> dict[str, Any]:
    properties = {key: {"type": "string"} for key in tool["arguments"]}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": tool["description"], "parameters": parameters}
