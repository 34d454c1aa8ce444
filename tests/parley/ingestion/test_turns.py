"""Both dialects of turns, mixed as people mix them, and every reason why a row can't be represented."""

import json
from typing import Any

import msgspec
import pytest

from parley.conversation import Conversation, ToolCall, Turn, from_sharegpt, to_sharegpt
from parley.ingestion.rows import RowError
from parley.ingestion.turns import Row, conversation_of


def conversation(row: dict[str, Any]) -> Conversation:
    return conversation_of(msgspec.json.decode(json.dumps(row), type=Row), "x", "f:1")


HI = (Turn("user", "hi"), Turn("assistant", "ho"))


@pytest.mark.parametrize("key", ["conversations", "conversation", "messages"])
@pytest.mark.parametrize("user", ["human", "user"])
@pytest.mark.parametrize("assistant", ["gpt", "assistant", "bot", "chatgpt"])
@pytest.mark.parametrize(("role", "text"), [("from", "value"), ("role", "content")])
def test_every_dialect_gives_the_same_turns(key: str, user: str, assistant: str, role: str, text: str) -> None:
    row = {key: [{role: user, text: "hi"}, {role: assistant, text: "ho", "weight": 1}]}
    assert conversation(row) == Conversation("x", HI, group="x", source="f:1")


def test_a_leading_system_turn_is_the_system_prompt() -> None:
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    system = {"from": "system", "value": "Be brief."}
    expected = Conversation("x", HI, "Be brief.", group="x", source="f:1")
    assert conversation({"conversations": [system, *turns]}) == expected
    assert conversation({"conversations": [system, *turns], "system": "Be brief."}) == expected
    assert conversation({"conversations": turns, "system": "Be brief."}) == expected
    # Two that differ, or one in the middle, are for validate to reject.
    assert conversation({"conversations": [system, *turns], "system": "Be long."}).turns[0] == Turn(
        "system", "Be brief."
    )
    assert conversation({"conversations": [*turns, system]}).turns[2] == Turn("system", "Be brief.")


def test_text_parts_become_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}, "c"]
    assert conversation({"messages": [{"role": "user", "content": parts}]}).turns == (Turn("user", "abc"),)


def test_tool_calls_keep_the_text_beside_them() -> None:
    calls = [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}, {"id": "2", "function": {"name": "g"}}]
    turns = conversation(
        {
            "messages": [
                {"role": "assistant", "content": "one moment", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "2", "content": "second"},
                {"role": "tool", "tool_call_id": "1", "content": "first"},
                {"role": "assistant", "content": None, "function_call": {"name": "h", "arguments": {}}},
                {"role": "function", "name": "h", "content": "third"},
            ]
        }
    ).turns
    assert turns == (
        Turn("assistant", "one moment", (ToolCall("f", {"a": 1}), ToolCall("g", {}))),
        Turn("tool", "first"),
        Turn("tool", "second"),
        Turn("assistant", "", (ToolCall("h", {}),)),
        Turn("tool", "third"),
    )


@pytest.mark.parametrize(
    ("value", "text", "calls"),
    [
        ('{"name": "f", "arguments": {"a": 1}}', "", [ToolCall("f", {"a": 1})]),
        ('{\n "name": "f",\n "arguments": "{\\"a\\": 1}"\n}', "", [ToolCall("f", {"a": 1})]),
        ('[{"name": "f"}, {"name": "g", "arguments": null}]', "", [ToolCall("f", {}), ToolCall("g", {})]),
        ('<think>well\n</think>\n{"name": "f"}', "<think>well\n</think>", [ToolCall("f", {})]),
        ('<think>well</think>{\n"name": "f"}', "<think>well</think>", [ToolCall("f", {})]),
        ('one\nmoment\n{"name": "f"}', "one\nmoment", [ToolCall("f", {})]),
    ],
)
def test_a_function_call_is_parsed(value: str, text: str, calls: list[ToolCall]) -> None:
    turn = conversation({"conversations": [{"from": "function_call", "value": value}]}).turns[0]
    assert turn == Turn("assistant", text, tuple(calls))
    again = from_sharegpt(json.loads(json.dumps(to_sharegpt(Conversation("y", (turn,))))))
    assert again.turns == (turn,)


def test_tools_are_json_text_whether_they_come_as_text_or_as_a_list() -> None:
    tools = [{"name": "f", "parameters": {}}]
    row = {"messages": [{"role": "user", "content": "hi"}]}
    assert json.loads(conversation({**row, "tools": tools}).tools) == tools
    assert conversation({**row, "tools": json.dumps(tools)}).tools == json.dumps(tools)
    assert conversation({**row, "tools": None}).tools == conversation({**row, "tools": "null"}).tools == ""


def call(arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("turns", "code"),
    [
        ([], "E002"),
        ([{"value": "Ann"}], "E003"),
        ([{"from": "human"}], "E003"),
        ([{"role": "user", "content": None}], "E003"),
        ([{"from": "Ann", "value": "hi"}], "E004"),
        ([{"from": 5, "value": "Ann"}], "E004"),
        ([{"from": "human", "value": 5}], "E005"),
        ([{"from": "human", "value": {"Ann": 1}}], "E005"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "Ann"}]}], "E005"),
        ([{"from": "function_call", "value": "Ann"}], "E011"),
        ([{"from": "function_call", "value": '{"arguments": {}}'}], "E011"),
        ([{"from": "function_call", "value": "[]"}], "E011"),
        ([call([1])], "E011"),
        ([call("{}"), {"role": "tool", "tool_call_id": "Ann", "content": "x"}], "E014"),
    ],
)
def test_what_is_no_conversation_has_a_code_and_no_text(turns: list[Any], code: str) -> None:
    with pytest.raises(RowError) as caught:
        conversation({"conversations": turns})
    assert caught.value.code == code
    assert "Ann" not in caught.value.reason


def test_a_turns_weight_is_read_and_is_1_without() -> None:
    row = msgspec.convert(
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}, Row
    )
    assert [turn.weight for turn in conversation_of(row, "c", "f:1").turns] == [1.0, 0]
