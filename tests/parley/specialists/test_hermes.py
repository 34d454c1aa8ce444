import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import Conversation, ToolCall, Turn
from parley.specialists.hermes import each_answer, in_text, tools_in, written

LOOK = ToolCall("look", {"at": "Zürich"})
BLOCK = '<tool_call>\n{"name": "look", "arguments": {"at": "Zürich"}}\n</tool_call>\n'
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2)
)


def test_call_is_written_as_simia_does_but_keeps_its_letters() -> None:
    assert in_text("", (LOOK,)) == BLOCK
    assert in_text("Sure.", (LOOK, LOOK)) == f"Sure.\n{BLOCK}{BLOCK}"
    assert in_text("Sure.", ()) == "Sure."


@given(
    st.text(st.characters(exclude_characters="<\r\n", codec="utf-8"), min_size=1).filter(str.strip),
    st.lists(st.builds(ToolCall, st.text(min_size=1), st.dictionaries(st.text(), ANY_JSON, max_size=3)), max_size=3),
)
def test_what_is_written_is_read_again(text: str, calls: list[ToolCall]) -> None:
    if any("</tool_call>" in json.dumps(call.row(), ensure_ascii=False) for call in calls):
        return
    found = written(in_text(text, tuple(calls)))
    assert (found.text, found.calls, found.broken) == (text, tuple(calls), 0)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "look",
        "{'name': 'look', 'arguments': {}}",
        '{"name": "look"}',
        '{"name": "", "arguments": {}}',
        '{"name": "look", "arguments": "{}"}',
        '[{"name": "look", "arguments": {}}]',
        '{"name": "look", "arguments": {"at": NaN}}',
        "[" * 100_000,
    ],
)
def test_block_that_holds_no_call_is_broken(body: str) -> None:
    found = written(f"Well.\n<tool_call>\n{body}\n</tool_call>")
    assert (found.text, found.calls, found.broken) == ("Well.", (), 1)


def test_block_without_an_end_is_broken_and_the_one_before_it_is_not() -> None:
    found = written(BLOCK + BLOCK.removesuffix("</tool_call>\n"))
    assert (found.calls, found.broken) == ((LOOK,), 1)


def test_answers_are_changed_in_the_form_they_have() -> None:
    turns = (
        Turn("user", BLOCK),
        Turn("assistant", BLOCK),
        Turn("assistant", "", (LOOK,)),
        Turn("assistant", "<tool_call>x"),
    )
    found = each_answer(Conversation("c", turns), lambda text, calls: (text + "!", calls)).turns
    assert found[0] == turns[0]
    assert found[1] == Turn("assistant", f"!\n{BLOCK}")
    assert found[2] == Turn("assistant", "!", (LOOK,))
    assert found[3] == Turn("assistant", "<tool_call>x!")


def test_tools_leave_the_system_prompt_with_what_stands_around_them() -> None:
    qwen = (
        "Be kind.\n\n# Tools\n\nYou may call functions within <tools></tools>:\n<tools>\n"
        '{"name": "look"}\n{"name": "go"}\n</tools>\n\nReturn:\n<tool_call>\n{"name": <name>}\n</tool_call>'
    )
    assert tools_in(qwen) == ("Be kind.", '[{"name": "look"}, {"name": "go"}]')
    assert tools_in('Within <tools> </tools> tags. <tools>[{"name": "look"}]</tools> Go.') == (
        "Within <tools> </tools> tags.  Go.",
        '[{"name": "look"}]',
    )
    for system in ("Be kind.", "<tools>none</tools>", "<tools>[1]</tools>"):
        assert tools_in(system) == (system, "")
