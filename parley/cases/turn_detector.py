"""turn_detector: has the user finished? One test case a conversation: its last turn, the user's, and whether it ends.

A conversation whose text is raw is asked twice, as it is and as parley.specialists.turn_text writes it (id ending in
@plain): a detector that goes by punctuation changes its mind.
"""

from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation
from parley.evaluation import Case, case_at
from parley.specialists.turn_text import merged


def make(conversation: Conversation, split: Literal["val", "test"]) -> list[Case]:
    """The case or two of one conversation that the transform `turn_detector` made."""
    own = case_at(conversation, len(conversation.turns) - 1, split)
    if conversation.labels.get("text") != "raw":
        return [own]
    plain = replace(conversation, turns=tuple(merged(conversation.turns, plain=True)))
    twin = case_at(plain, len(plain.turns) - 1, split)
    return [own, replace(twin, id=f"{own.id}@plain", labels={**own.labels, "text": "plain"})]
