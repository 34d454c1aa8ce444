import json

import pytest

from parley.conversation import ToolCall
from parley.specialists.schemas import misfit, tools_of

TOOLS = {
    "order": {
        "type": "object",
        "properties": {"id": {"type": "string"}, "count": {"type": "integer"}, "size": {"enum": ["S", "L"]}},
        "required": ["id"],
    },
    "free": {"type": "object", "additionalProperties": True},
    "none": {},
    "broken": {"type": "dict", "properties": {"a": {"type": "float"}}},
    "far": {"type": "object", "properties": {"a": {"$ref": "https://schemas.example/a.json"}}},
}


@pytest.mark.parametrize(
    ("name", "arguments", "found"),
    [
        ("order", {"id": "7"}, ""),
        ("order", {"id": "7", "count": 2, "size": "L"}, ""),
        ("free", {"anything": 1}, ""),
        ("none", {}, ""),
        ("order", "{'id'", "unparsable_arguments"),
        ("Order", {"id": "7"}, "unknown_tool"),
        ("order", {}, "missing_argument"),
        ("order", {"id": "7", "more": 1}, "unknown_argument"),
        ("none", {"id": "7"}, "unknown_argument"),
        ("order", {"id": 7}, "wrong_value"),
        ("order", {"id": "7", "count": True}, "wrong_value"),  # Simia lets a truth value pass as a number
        ("order", {"id": "7", "count": 2.5}, "wrong_value"),
        ("order", {"id": "7", "size": "M"}, "wrong_value"),
        ("broken", {"a": 1.0}, "broken_schema"),
        ("far", {"a": 1}, "broken_schema"),  # and nothing is fetched
    ],
)
def test_a_call_is_held_against_its_own_tool(name: str, arguments: dict | str, found: str) -> None:
    assert misfit(ToolCall(name, arguments), TOOLS) == found


def test_tools_are_bare_or_in_openais_form() -> None:
    bare = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    for form in (bare, {"type": "function", "function": bare}):
        assert tools_of(json.dumps([form])) == {"look": bare["parameters"]}
    assert tools_of("") == {}
    assert tools_of('[{"name": "look"}]') == {"look": {}}


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"parameters": {}}]', '[{"name": "a"}, {"name": "a"}]'])
def test_what_is_no_list_of_tools_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|name|twice"):
        tools_of(text)
