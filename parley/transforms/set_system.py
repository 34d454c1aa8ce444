"""set_system: one system prompt for every conversation, in place of the one it has.

{"system": "You are a pirate.", ...} with text "Answer briefly." becomes {"system": "Answer briefly.", ...}
"""

from dataclasses import replace

from parley.conversation import Conversation
from parley.params import Section


class Params(Section):
    """Section `transforms.set_system`."""

    text: str


def apply(conversation: Conversation, *, text: str) -> list[Conversation]:
    """The conversation with `text` as its system prompt; "" leaves it without one."""
    return [replace(conversation, system=text)]
