"""set_system replaces the prompt and nothing else."""

from dataclasses import replace

from parley.conversation import Conversation, Turn
from parley.transforms.set_system import apply

TALK = Conversation("c", (Turn("user", "A"), Turn("assistant", "B")), system="be kind")


def test_the_prompt_is_replaced() -> None:
    assert apply(TALK, text="be brief") == [replace(TALK, system="be brief")]


def test_an_empty_text_removes_the_prompt() -> None:
    assert apply(TALK, text="")[0].system == ""
