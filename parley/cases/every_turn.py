"""every_turn: a test case for each of the assistant's turns.

human A, gpt B, human C, gpt D becomes: context A, reference B; and context A B C, reference D.
"""

from typing import Literal

from parley.conversation import Conversation
from parley.evaluation import Case, case_at


def make(conversation: Conversation, split: Literal["val", "test"]) -> list[Case]:
    """The cases in the order of the turns; the context of each is what was really said before."""
    places = [place for place, turn in enumerate(conversation.turns) if turn.role == "assistant"]
    return [case_at(conversation, place, split) for place in places]
