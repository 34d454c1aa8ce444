r"""to_hermes: the second step of agent data: calls and results in the places from which a chat template writes Hermes.

A call in an answer's text (<tool_call>…</tool_call>) becomes a call, <tool_response>…</tool_response> behind it the
result, or in rows that mark no result the whole human turn, and tools in the system prompt (<tools>…</tools>) the row's
tools. Calls that follow one another are parallel calls of one turn, as
are text and the call after it. `compat: simia` writes all of it as text instead, as Simia's training data has it:

    gpt: <tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>\n    human: (the bare result)
"""

from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation, Dropped, Turn
from parley.params import Section
from parley.specialists.hermes import RESPONSE, in_text, tools_in, written


class Params(Section):
    """Section `transforms.to_hermes`."""

    compat: Literal["none", "simia"]


def apply(conversation: Conversation, *, compat: str) -> list[Conversation]:
    """The conversation in the one form; dropped where a call is broken or a result answers none."""
    simia = compat == "simia"
    bare = not any(turn.role == "tool" for turn in conversation.turns)
    turns: list[Turn] = []
    for turn in conversation.turns:
        for part in _parts(turn, after_call=bool(turns and turns[-1].calls), bare=bare):
            if part.role == "tool" and not (turns and (turns[-1].role == "tool" or turns[-1].calls)):
                raise Dropped("result_without_call")
            before = turns[-1] if turns and turns[-1].role == part.role != "tool" else None
            if before:
                text = "\n".join(text for text in (before.text, part.text) if text)
                weight = min(before.weight, part.weight)
                turns[-1] = Turn(part.role, text, before.calls + part.calls, weight)
            else:
                turns.append(part)
    if simia:
        turns = _as_text(turns)
    system, tools = conversation.system, conversation.tools
    if not simia and not tools:
        system, tools = tools_in(system)
    return [replace(conversation, turns=tuple(turns), system=system, tools=tools)]


def _parts(turn: Turn, *, after_call: bool, bare: bool) -> list[Turn]:
    """The turn, its calls taken out of the text, a turn of results split into results."""
    if turn.role == "assistant":
        found = written(turn.text)
        if found.broken:
            raise Dropped("broken_call")
        return [replace(turn, text=found.text, calls=found.calls + turn.calls)]
    if turn.role == "tool" or (turn.role == "user" and after_call):
        results = RESPONSE.findall(turn.text)
        whole = bool(results) and not RESPONSE.sub("", turn.text).strip()
        if turn.role == "tool" or whole or bare:
            return [replace(turn, role="tool", text=text) for text in (results if whole else [turn.text])]
    return [turn]


def _as_text(turns: list[Turn]) -> list[Turn]:
    """Human and assistant turns only; the results of parallel calls share one turn."""
    found: list[Turn] = []
    for turn in turns:
        if turn.role != "tool":
            found.append(replace(turn, text=in_text(turn.text, turn.calls), calls=()))
        elif found[-1].role == "user":
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n{turn.text}")
        else:
            found.append(replace(turn, role="user"))
    return found
