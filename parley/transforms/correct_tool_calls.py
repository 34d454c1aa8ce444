"""correct_tool_calls: the third step of agent data: every call fits the row's own tools and the rules of its domain.

In the domain retail (parley/domains/retail.yaml) {"order_id": "W1"} becomes {"order_id": "#W1"}. Then the call is held
against the JSON schema of its tool; a row without tools takes its domain's, and without those its calls cannot be
checked and stay. The row is labelled with its domain.
"""

from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation, Dropped, ToolCall
from parley.params import Section
from parley.specialists.domain import NONE, Domain, domain_of, domains
from parley.specialists.hermes import each_answer, tools_in, written
from parley.specialists.schemas import misfit, tools_of


class Params(Section):
    """Section `transforms.correct_tool_calls`."""

    misfits: Literal["drop", "keep"]


def apply(conversation: Conversation, *, misfits: str) -> list[Conversation]:
    """The conversation with its calls mended; dropped for the first call that fits no tool, unless misfits are kept."""
    name = domain_of(conversation)
    domain = domains().get(name, NONE)

    def mended(call: ToolCall) -> ToolCall:
        return call if isinstance(call.arguments, str) else ToolCall(call.name, domain.fixed(call.arguments))

    fixed = each_answer(conversation, lambda text, calls: (text, tuple(map(mended, calls))))
    in_system = "" if conversation.tools else tools_in(conversation.system)[1]
    tools = conversation.tools or ("" if in_system else domain.tools)
    calls = [
        call for turn in fixed.turns if turn.role == "assistant" for call in turn.calls or written(turn.text).calls
    ]
    if calls and (tools or in_system) and misfits == "drop":
        _check(calls, tools or in_system, domain)
    return [replace(fixed, tools=tools, labels={**conversation.labels, "domain": name})]


def _check(calls: list[ToolCall], text: str, domain: Domain) -> None:
    try:
        tools = tools_of(text)
    except ValueError:
        raise Dropped("broken_tools") from None
    for call in calls:
        found = misfit(call, tools)
        if found:
            raise Dropped(found)
        if not isinstance(call.arguments, str) and domain.broken(call.arguments):
            raise Dropped("broken_rule")
