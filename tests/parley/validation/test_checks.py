"""Each code on the smallest row that has it; a sound row has none."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.validation.checks import CHECKS, PROFILES, control_tokens, findings
from parley.validation.row_shape import SHAPE

TOOLS = json.dumps(
    [{"name": "find", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}]
)
CALL = '{"name": "find", "arguments": {"id": "7"}}'


def row(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": value} for role, value in turns], "system": "", **more}


def calling(value: str, seen: str = "found", *, observations: int = 1) -> dict[str, Any]:
    seen = [("observation", seen)] * observations
    return row(("human", "q"), ("function_call", value), *seen, ("gpt", "a"), tools=TOOLS)


SOUND = [
    row(("human", "hi"), ("gpt", "hello")),
    row(("system", "be kind"), ("human", "hi"), ("gpt", "hello"), system="be kind"),
    calling(CALL),
    calling(f"<think>\nhm\n</think>\n{CALL}"),
    calling(f"[{CALL}, {CALL}]", observations=2),
    calling(f"[{CALL}, {CALL}]", '["found", "lost"]'),
    {**calling(CALL), "tools": json.dumps([{"type": "function", "function": json.loads(TOOLS)[0]}])},
    row(("human", "q"), ("function_call", CALL), ("observation", ""), ("gpt", "a"), tools=TOOLS),
    row(("human", "<think> is a tag, and <|im_end|> a token"), ("gpt", "<think>yes</think>so")),
]

FAULTY = [
    ("E002", {}),
    ("E002", {"conversations": []}),
    ("E002", {"conversations": "hi"}),
    ("E002", {"conversations": [["human", "hi"]]}),
    ("E003", {"conversations": [{"from": "human"}]}),
    ("E003", {"conversations": [{"from": "human", "value": "hi", "role": "user"}]}),
    ("E004", row(("hummany", "hi"), ("gpt", "a"))),
    ("E005", row(("human", None), ("gpt", "a"))),
    ("E005", row(("human", "q"), ("gpt", {"text": "a"}))),
    ("E005", {**SOUND[0], "system": None}),
    ("E006", row(("human", " \n"), ("gpt", "a"))),
    ("E007", row(("human", "q"), ("gpt", "a"), ("system", "be kind"), ("human", "q"), ("gpt", "a"))),
    ("E007", row(("system", "be kind"), ("human", "q"), ("gpt", "a"), system="be cruel")),
    ("E008", row(("gpt", "a"), ("human", "q"), ("gpt", "a"))),
    ("E008", row(("system", "be kind"))),
    ("E009", row(("human", "q"), ("gpt", "a"), ("human", "q"))),
    ("E010", row(("human", "q"), ("human", "q"), ("gpt", "a"))),
    ("E010", row(("human", "q"), ("gpt", "a"), ("gpt", "a"))),
    ("E010", row(("human", "q"), ("function_call", CALL), ("gpt", "a"), tools=TOOLS)),
    ("E011", calling("find 7")),
    ("E011", calling('{"arguments": {}}')),
    ("E011", calling('{"name": "find", "arguments": "{}"}')),
    ("E011", calling("[]")),
    ("E012", {**SOUND[0], "tools": "find"}),
    ("E012", {**SOUND[0], "tools": '{"name": "find"}'}),
    ("E012", {**SOUND[0], "tools": '[{"parameters": {}}]'}),
    ("E012", {**SOUND[0], "tools": '[{"name": "find", "parameters": []}]'}),
    ("E012", {**SOUND[0], "tools": '[{"name": "find", "parameters": {"required": 1}}]'}),
    ("E012", {**SOUND[0], "tools": "[" * 100_000}),
    ("E012", {**SOUND[0], "tools": '[{"name": "find"}, {"name": "find"}]'}),
    ("E013", calling('{"name": "lose", "arguments": {}}')),
    ("E013", calling('{"name": "find", "arguments": {}}')),
    ("E013", calling('{"name": "find", "arguments": {"id": "7", "secret": 1}}')),
    ("E014", calling(CALL, observations=2)),
    ("E014", calling(f"[{CALL}, {CALL}, {CALL}]", observations=2)),
    ("E014", calling(f"[{CALL}, {CALL}]", "found")),
    ("E014", calling(f"[{CALL}, {CALL}]", '["found"]')),
    ("E015", {**calling(CALL), "tools": ""}),
    ("E015", {**calling(CALL), "tools": "[]"}),
    ("E016", row(("human", "q"), ("gpt", "<think>so"))),
    ("E016", row(("human", "q"), ("gpt", "</tool_call>"))),
    ("E017", row(("human", "q\0"), ("gpt", "a"))),
    ("E017", row(("human", "q"), ("gpt", "\ud83d"))),
    ("W103", row(("human", "write to ana@example.org"), ("gpt", "a"))),
    ("W103", row(("human", "q"), ("gpt", "pay 4111 1111 1111 1111"))),
    ("W105", row(("human", "I am {{name}}"), ("gpt", "a"))),
    ("W105", row(("human", "q"), ("gpt", "a"), system="You are {{ name }}.")),
]


@pytest.mark.parametrize("sound", SOUND)
def test_a_sound_row_has_no_finding(sound: dict) -> None:
    assert findings(sound) == []


@pytest.mark.parametrize(("code", "faulty"), FAULTY)
def test_each_fault_is_found_by_its_code(code: str, faulty: dict) -> None:
    assert findings(faulty)[0].code == code


def test_every_code_has_a_faulty_row() -> None:
    assert {code for code, _ in FAULTY} == SHAPE.keys() | CHECKS.keys()


def codes(found: dict, profile: str) -> list[str]:
    return [finding.code for finding in findings(found, profile)]


def test_a_profile_says_what_a_conversation_may_end_on() -> None:
    call = row(("human", "q"), ("function_call", CALL), tools=TOOLS)
    asks = row(("human", "q"), ("human", "and"), ("gpt", "a"), ("human", "so"))
    assert [codes(call, profile) for profile in PROFILES] == [["E009"], [], ["E009", "E010"], ["E009"]]
    assert [codes(asks, profile) for profile in PROFILES] == [["E009", "E010"]] * 3 + [[]]
    greeting = row(("gpt", "a"), ("human", "q"), ("gpt", "a"))
    assert [codes(greeting, profile) for profile in PROFILES] == [["E008"], ["E008"], ["E008", "E010"], []]
    assert all(codes(sound, profile) == [] for sound in SOUND for profile in PROFILES if profile != "trigger")
    assert [codes(sound, "trigger") for sound in SOUND[:3]] == [[], [], ["E010"]]


def test_a_finding_names_the_turn() -> None:
    assert findings(row(("human", "q"), ("gpt", "")))[0].reason == "turn 1: empty gpt turn"


def test_no_finding_repeats_a_word_of_a_turn() -> None:
    secret = "marmalade"
    rows = [
        row((secret, "q")),
        calling(secret),
        calling(json.dumps({"name": secret, "arguments": {}})),
        calling(json.dumps({"name": "find", "arguments": {secret: 1}})),
        {**SOUND[0], "tools": secret},
        row(("human", f"{{{{{secret}}}}}"), ("gpt", "a")),
    ]
    found = [finding for each in rows for finding in findings(each)]
    assert len(found) >= len(rows)
    assert secret not in " ".join(finding.reason for finding in found)


def test_control_tokens_are_counted_not_rejected() -> None:
    typed = row(("human", "<|im_end|> and </s> <|im_end|>"), ("gpt", "[INST]"))
    assert findings(typed) == []
    assert control_tokens(typed) == Counter({"<|im_end|>": 2, "</s>": 1, "[INST]": 1})


values = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
parts = st.dictionaries(st.sampled_from(["from", "value", "role"]), values | st.sampled_from(["human", "gpt"]))


@given(st.dictionaries(st.sampled_from(["conversations", "tools", "system"]), values | st.lists(parts, max_size=3)))
def test_no_row_whatsoever_stops_the_checks(anything: dict) -> None:
    findings(anything)


said = st.text(alphabet="ab \n", min_size=1).filter(str.strip)


@given(st.lists(st.tuples(said, said), min_size=1, max_size=4), said)
def test_what_to_sharegpt_writes_is_sound(pairs: list, thought: str) -> None:
    turns = [turn for ask, answer in pairs for turn in (Turn("user", ask), Turn("assistant", answer))]
    call = Turn("assistant", thought, (ToolCall("find", {"id": thought}),))
    asked = [turns[0], call, Turn("tool", "found"), *turns[1:]]
    assert findings(to_sharegpt(Conversation("c", tuple(turns)))) == []
    assert findings(to_sharegpt(Conversation("c", tuple(asked), tools=TOOLS))) == []
