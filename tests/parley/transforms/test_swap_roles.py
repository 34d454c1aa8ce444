"""The other side is learnt, and only where there is another side."""

import pytest

from parley.conversation import Conversation, Dropped, ToolCall, Turn
from parley.transforms.swap_roles import apply


def talk(*roles: str) -> Conversation:
    return Conversation(
        "c", tuple(Turn(role, f"{place}") for place, role in enumerate(roles)), "be kind", author="Robin"
    )


def test_the_roles_are_swapped_and_the_ends_trimmed() -> None:
    (found,) = apply(talk("user", "assistant", "user", "assistant"))
    assert [(turn.role, turn.text) for turn in found.turns] == [("user", "1"), ("assistant", "2")]
    assert (found.system, found.author) == ("", "")
    assert apply(talk("user", "assistant")) == []


def test_a_conversation_with_tools_has_one_side_only() -> None:
    for turn in (Turn("tool", "x"), Turn("assistant", "", (ToolCall("find", {}),))):
        with pytest.raises(Dropped):
            apply(Conversation("c", (Turn("user", "q"), turn, Turn("assistant", "a"))))
