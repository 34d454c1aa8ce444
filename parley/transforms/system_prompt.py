"""system_prompt: the last step of agent data: the system prompt of the row's domain, in place of the one it has.

The prompts stand in parley/domains, one file a domain; a row of no domain, or of one without a prompt, keeps its own.
`{tools}` in a prompt becomes the row's tools, one a line, for chat templates that do not write the tools themselves.
"""

import json
from dataclasses import replace

from parley.conversation import Conversation
from parley.params import Section
from parley.specialists.domain import NONE, domain_of, domains


class Params(Section):
    """Section `transforms.system_prompt`: no options."""


def apply(conversation: Conversation) -> list[Conversation]:
    """The conversation with its domain's prompt, labelled with the domain, which the new prompt may not tell."""
    name = domain_of(conversation)
    prompt = domains().get(name, NONE).system.strip()
    if not prompt:
        return [conversation]
    tools = json.loads(conversation.tools or "[]")
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    labels = {**conversation.labels, "domain": name}
    return [replace(conversation, system=prompt.replace("{tools}", lines), labels=labels)]
