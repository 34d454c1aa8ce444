"""swap_roles: the assistant is the other side: whoever asked is learnt, and whoever answered is answered.

user A, assistant B, user C, assistant D becomes: user B, assistant C. What has nothing before or after it goes.
"""

from dataclasses import replace

from parley.conversation import Conversation, Dropped, Role, Turn

OTHER: dict[Role, Role] = {"user": "assistant", "assistant": "user"}


def apply(conversation: Conversation) -> list[Conversation]:
    """The conversation with its roles swapped; its system prompt, which spoke to the old assistant, goes."""
    if any(turn.calls or turn.role not in OTHER for turn in conversation.turns):
        raise Dropped("calls_have_one_side")
    turns = [Turn(OTHER[turn.role], turn.text) for turn in conversation.turns]
    while turns and turns[0].role == "assistant":
        del turns[0]
    while turns and turns[-1].role == "user":
        del turns[-1]
    return [replace(conversation, turns=tuple(turns), system="", author="")] if turns else []
