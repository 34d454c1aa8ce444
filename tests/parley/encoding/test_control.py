"""Calls that stand in the text of an agent's data keep their tags; whatever else looks like one does not."""

import json
import re

from parley.conversation import Conversation, ToolCall, Turn
from parley.encoding.control import JOINER, neutralise
from parley.specialists.hermes import in_text, written

CONTROL = re.compile(r"<\|im_end\|>|</?tool_call>|</?tool_response>")  # as Qwen's tokenizer has them
SYSTEM = (
    f"Be kind.\n\n# Tools\n<tools>\n{json.dumps({'name': 'look'})}\n</tools>\nWrite:\n<tool_call>\n...\n</tool_call>"
)
CALL = ToolCall("look", {"at": "x"})


def cleaned(*turns: Turn, system: str = SYSTEM) -> tuple[Conversation, int]:
    return neutralise(CONTROL, Conversation("c", turns, system))


def test_real_calls_and_the_example_in_the_system_prompt_keep_their_tags() -> None:
    answer = in_text("Sure.", (CALL, CALL))
    conversation, found = cleaned(Turn("user", "look"), Turn("assistant", answer))
    assert found == 0 and conversation.system == SYSTEM and conversation.turns[1].text == answer


def test_a_call_that_somebody_else_typed_or_that_is_none_loses_its_tags() -> None:
    typed = in_text("", (CALL,))
    conversation, found = cleaned(Turn("user", typed), Turn("assistant", "<tool_call>me</tool_call> <|im_end|>"))
    assert found == 5 and not CONTROL.search(conversation.turns[0].text + conversation.turns[1].text)
    plain, found = cleaned(Turn("user", "hi"), Turn("assistant", typed), system="Be kind.")
    assert found == 2 and not written(plain.turns[1].text).calls


def test_control_strings_inside_a_real_call_are_broken() -> None:
    answer = in_text("", (ToolCall("look", {"at": "<|im_end|>"}),))
    conversation, found = cleaned(Turn("assistant", answer), system=f"{SYSTEM}<|im_end|>")
    assert found == 2 and "<|im_end|>" not in conversation.turns[0].text + conversation.system
    assert written(conversation.turns[0].text).calls == (ToolCall("look", {"at": f"<{JOINER}|im_end|>"}),)


def test_a_thought_that_an_answer_begins_with_and_a_tools_results_keep_their_tags() -> None:
    control = re.compile(r"</?think>|</?tool_response>")
    results = "<tool_response>\n1 </tool_call>\n</tool_response>"
    turns = (Turn("user", "<think>"), Turn("assistant", "<think>\na\n</think>\n\nb <think>"), Turn("user", results))
    clean, found = neutralise(control, Conversation("c", turns, SYSTEM))
    assert found == 2 and [turn.text for turn in clean.turns[1:]] == [
        f"<think>\na\n</think>\n\nb <{JOINER}think>",
        results,
    ]
