"""Conversations that are too long: cut between turns, never between a call and its answer."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation
from parley.encoding.rendering import Speaker

Keep = Literal["newest", "oldest"]


def shorten(
    conversation: Conversation,
    fits: Callable[[Conversation], bool],
    *,
    keep: Keep = "newest",
    speaker: Speaker = "assistant",
) -> Conversation | None:
    """The longest part of the conversation that fits, system prompt kept; None if not even the shortest does.

    newest: it begins with a user's turn and goes to the end. oldest: it goes from the beginning to a turn of the
    speaker's, and no call is left unanswered. `fits` is asked a few times: fewer turns must never be longer.
    """
    turns = conversation.turns
    if keep == "newest":
        parts = [turns[start:] for start, turn in enumerate(turns) if turn.role == "user"]
    else:
        ends = [place for place, turn in enumerate(turns) if turn.role == speaker and not turn.calls]
        parts = [turns[: end + 1] for end in reversed(ends)]
    shorter = [replace(conversation, turns=part) for part in parts]
    first = bisect_left(shorter, True, key=fits)
    return shorter[first] if first < len(shorter) else None
