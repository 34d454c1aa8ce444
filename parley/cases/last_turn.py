"""last_turn: one test case a conversation, its last answer.

human A, gpt B, human C, gpt D becomes: context A B C, reference D.
"""

from typing import Literal

from parley.conversation import Conversation
from parley.evaluation import Case, case_at


def make(conversation: Conversation, split: Literal["val", "test"]) -> list[Case]:
    """The case of the conversation's last turn: the assistant's, unless validate.profile lets the user end."""
    return [case_at(conversation, len(conversation.turns) - 1, split)]
