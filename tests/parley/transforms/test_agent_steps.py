"""The five steps of agent data: each alone, in their order, and twice over; and what Simia makes of the same rows."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley import plugins
from parley.conversation import Conversation, Dropped, ToolCall, Turn, to_sharegpt
from parley.encoding.cutting import shorten
from parley.errors import ParleyError
from parley.params import read_yaml
from parley.specialists.domain import domain_of, domains
from parley.transforms import correct_tool_calls, fix_arguments, system_prompt, think_tags, to_hermes
from parley.validation.checks import findings

RECIPE = Path(__file__).parents[3] / "recipes/agent.yaml"
ORDER = {"name": "get_order", "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}}}
TOOLS = json.dumps([{"type": "function", "function": {**ORDER, "description": "An order"}}])
RETAIL = "You are a retail agent."
ASK, DONE, RESULT = Turn("user", "Where is W1?"), Turn("assistant", "It is packed."), Turn("tool", '{"is": "packed"}')
CALL = ToolCall("get_order", {"order_id": "W1"})
BLOCK = '<tool_call>\n{"name": "get_order", "arguments": {"order_id": "W1"}}\n</tool_call>\n'


def talk(*turns: Turn, system: str = RETAIL, tools: str = TOOLS, **more: Any) -> Conversation:
    return Conversation("c", turns, system, tools, **more)


def called(arguments: Any) -> Conversation:
    return talk(ASK, Turn("assistant", "", (ToolCall("get_order", arguments),)), RESULT, DONE)


def one(made: list[Conversation]) -> Conversation:
    (found,) = made
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"order_id": "W1"}', {"order_id": "W1"}),
        ('"{\\"order_id\\": \\"W1\\"}"', {"order_id": "W1"}),
        ("{'order_id': \"O'Brien\", 'now': True, 'n': None}", {"order_id": "O'Brien", "now": True, "n": None}),
        ("{'now': true}", {"now": True}),
        ("{}", {}),
    ],
)
def test_arguments_in_text_are_read(text: str, wanted: dict[str, Any]) -> None:
    assert one(fix_arguments.apply(called(text))).turns[1].calls[0].arguments == wanted


@pytest.mark.parametrize(
    "text",
    [
        *(
            "{'n': 'O'Brien'}",
            "{",
            "null",
            "[1]",
            '"W1"',
            "{1, 2}",
            "{'a': b'x'}",
            "{'a': 1e999}",
            "{'a': {1}}",
            "(" * 9999,
        ),
        *("{'now': true, 'said': 'don\\'t'}", "__import__('os')"),
    ],
)
def test_arguments_that_cannot_be_read_are_never_empty_ones(text: str) -> None:
    with pytest.raises(Dropped, match=r"^unparsable_arguments$"):
        fix_arguments.apply(called(text))


def test_calls_and_results_in_text_take_their_places() -> None:
    system = f"{RETAIL}\n\n# Tools\n\n<tools>\n{json.dumps(ORDER)}\n</tools>\n\n<tool_call>\n...\n</tool_call>"
    answer = Turn("user", "<tool_response>\nA\n</tool_response>\n<tool_response>\nB\n</tool_response>")
    found = one(
        to_hermes.apply(
            talk(ASK, Turn("assistant", f"Sure.\n{BLOCK}{BLOCK}"), answer, DONE, system=system, tools=""), compat="none"
        )
    )
    calls = Turn("assistant", "Sure.", (CALL, CALL))
    assert found == talk(ASK, calls, Turn("tool", "A"), Turn("tool", "B"), DONE, tools=json.dumps([ORDER]))
    assert findings(to_sharegpt(found), "agent") == []


def test_calls_in_a_row_are_parallel_and_text_stands_beside_its_call() -> None:
    single = Turn("assistant", "", (CALL,))
    found = one(
        to_hermes.apply(talk(ASK, Turn("assistant", "Sure."), single, single, RESULT, RESULT, DONE), compat="none")
    )
    assert found.turns == (ASK, Turn("assistant", "Sure.", (CALL, CALL)), RESULT, RESULT, DONE)


def test_compat_simia_writes_bare_results_and_takes_them_back() -> None:
    rows = talk(ASK, Turn("assistant", "Sure.", (CALL,)), RESULT, DONE)
    simia = one(to_hermes.apply(rows, compat="simia"))
    assert simia.turns == (ASK, Turn("assistant", f"Sure.\n{BLOCK}"), Turn("user", RESULT.text), DONE)
    assert one(to_hermes.apply(simia, compat="none")) == rows


def test_user_who_speaks_after_a_call_is_no_result_where_results_are_marked() -> None:
    call, stop = Turn("assistant", "", (CALL,)), Turn("user", "Stop.")
    row = talk(ASK, call, RESULT, call, stop, DONE)
    assert one(to_hermes.apply(row, compat="none")) == row
    assert [found.code for found in findings(to_sharegpt(row), "agent")] == ["E010", "E014"]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ((ASK, RESULT, DONE), "result_without_call"),
        ((RESULT, Turn("assistant", "", (CALL,))), "result_without_call"),
        ((ASK, Turn("assistant", "<tool_call>{</tool_call>"), RESULT), "broken_call"),
        ((ASK, Turn("assistant", BLOCK.removesuffix("</tool_call>\n"))), "broken_call"),
    ],
)
def test_broken_calls_and_results_of_none_are_dropped(turns: tuple[Turn, ...], reason: str) -> None:
    with pytest.raises(Dropped, match=f"^{reason}$"):
        to_hermes.apply(talk(*turns), compat="none")


def test_call_is_mended_by_its_domain_and_the_row_labelled() -> None:
    found = one(correct_tool_calls.apply(called({"order_id": "W1"}), misfits="drop"))
    assert found.turns[1].calls[0].arguments == {"order_id": "#W1"}
    assert found.labels == {"domain": "retail"}
    elsewhere = one(correct_tool_calls.apply(talk(*called({"order_id": "W1"}).turns, system="Hi."), misfits="drop"))
    assert elsewhere.turns[1].calls[0].arguments == {"order_id": "W1"} and elsewhere.labels == {"domain": "other"}


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ((CALL, ToolCall("think", {"thought": "hm"})), "unknown_tool"),
        ((ToolCall("get_order", {"order_id": 1}),), "wrong_value"),
        ((ToolCall("get_order", {"order": "W1"}),), "unknown_argument"),
        ((ToolCall("get_order", "{"),), "unparsable_arguments"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_call_that_fits_no_tool_is_dropped_or_kept(calls: tuple[ToolCall, ...], reason: str, as_text: bool) -> None:
    row = talk(ASK, Turn("assistant", "", calls), RESULT, DONE)
    if as_text and reason != "unparsable_arguments":
        row = one(to_hermes.apply(row, compat="simia"))
    with pytest.raises(Dropped, match=f"^{reason}$"):
        correct_tool_calls.apply(row, misfits="drop")
    assert len(correct_tool_calls.apply(row, misfits="keep")) == 1


def test_value_that_breaks_a_rule_of_its_domain_is_dropped() -> None:
    tool = {"name": "find", "parameters": {"properties": {"email": {"type": "string"}}}}
    row = talk(
        ASK, Turn("assistant", "", (ToolCall("find", {"email": "rosa"}),)), RESULT, DONE, tools=json.dumps([tool])
    )
    with pytest.raises(Dropped, match=r"^broken_rule$"):
        correct_tool_calls.apply(row, misfits="drop")


@pytest.mark.parametrize("tools", ["", "{", "[1]"])
def test_row_without_tools_cannot_be_checked_and_stays_but_broken_tools_do_not(tools: str) -> None:
    row = talk(*called({"anything": 1}).turns, tools=tools)
    if tools:
        with pytest.raises(Dropped, match="broken_tools"):
            correct_tool_calls.apply(row, misfits="drop")
    else:
        assert one(correct_tool_calls.apply(row, misfits="drop")).turns == row.turns


def test_row_without_tools_takes_those_of_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(domains(), "retail", domains()["retail"].model_copy(update={"tools": TOOLS}))
    row = talk(*called({"order_id": "W1"}).turns, tools="")
    assert one(correct_tool_calls.apply(row, misfits="drop")).tools == TOOLS
    with pytest.raises(Dropped, match="unknown_argument"):
        correct_tool_calls.apply(talk(*called({"id": "W1"}).turns, tools=""), misfits="drop")


THOUGHT = "<think>\nneed id\n</think>\n"


@pytest.mark.parametrize(
    ("mode", "turn", "wanted"),
    [
        ("strip", Turn("assistant", f"{THOUGHT}Which?"), Turn("assistant", "Which?")),
        ("strip", Turn("assistant", f"{THOUGHT}", (CALL,)), Turn("assistant", "", (CALL,))),
        ("strip", Turn("assistant", f"{THOUGHT}{BLOCK}"), Turn("assistant", BLOCK)),
        ("strip", Turn("assistant", "<think>short</think>Yes"), Turn("assistant", "Yes")),
        ("keep", Turn("assistant", f"{THOUGHT}Which?"), Turn("assistant", f"{THOUGHT}Which?")),
        ("simia", Turn("assistant", f"{THOUGHT}", (CALL,)), Turn("assistant", "need id", (CALL,))),
        ("simia", Turn("assistant", BLOCK), Turn("assistant", f"I will call the function get_order.\n\n{BLOCK}")),
        ("simia", Turn("assistant", "Which?"), Turn("assistant", "Which?")),
    ],
)
def test_thoughts_go_by_the_mode(mode: str, turn: Turn, wanted: Turn) -> None:
    assert one(think_tags.apply(talk(ASK, turn), mode=mode)).turns == (ASK, wanted)


def test_an_answer_with_a_thought_stays_where_simia_deletes_it() -> None:
    row = talk(ASK, Turn("assistant", f"{THOUGHT}Which?"), Turn("user", "W1"), DONE)
    assert one(think_tags.apply(row, mode="strip")).turns == (
        ASK,
        Turn("assistant", "Which?"),
        Turn("user", "W1"),
        DONE,
    )
    assert one(think_tags.apply(row, mode="simia")).turns == (Turn("user", "Where is W1?\nW1"), DONE)


@pytest.mark.parametrize(("text", "reason"), [("<think>a", "unclosed_thought"), (THOUGHT, "nothing_but_a_thought")])
def test_thought_without_end_or_answer_is_dropped(text: str, reason: str) -> None:
    with pytest.raises(Dropped, match=reason):
        think_tags.apply(talk(ASK, Turn("assistant", text)), mode="strip")


def test_system_prompt_is_the_domains_and_shows_the_tools_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(system_prompt.apply(called({}))).system == RETAIL  # the domain has none
    changed = domains()["retail"].model_copy(update={"system": "Serve well.\n{tools}\n"})
    monkeypatch.setitem(domains(), "retail", changed)
    found = one(system_prompt.apply(called({})))
    assert found.system == f"Serve well.\n{TOOLS[1:-1]}"
    assert domain_of(found) == "retail"  # though the new prompt does not say the word
    assert one(system_prompt.apply(talk(ASK, DONE, system="Hi."))).system == "Hi."


def steps(compat: str, mode: str) -> list[Callable[[Conversation], list[Conversation]]]:
    return [
        fix_arguments.apply,
        lambda row: to_hermes.apply(row, compat=compat),
        lambda row: correct_tool_calls.apply(row, misfits="drop"),
        lambda row: think_tags.apply(row, mode=mode),
        system_prompt.apply,
    ]


def test_all_five_in_simias_way_give_simias_row() -> None:
    """The example of its documentation's shape, through its five scripts as they behave on rows they get right."""
    row = called('{"order_id": "W1"}')
    row = talk(ASK, Turn("assistant", THOUGHT.strip(), row.turns[1].calls), RESULT, DONE)
    for step in steps("simia", "simia"):
        row = one(step(row))
    call = '<tool_call>\n{"name": "get_order", "arguments": {"order_id": "#W1"}}\n</tool_call>\n'
    assert [(turn["from"], turn["value"]) for turn in to_sharegpt(row)["conversations"]] == [
        ("human", "Where is W1?"),
        ("gpt", f"need id\n{call}"),
        ("human", '{"is": "packed"}'),
        ("gpt", "It is packed."),
    ]


def test_an_observation_that_holds_a_list_over_lines_stays_where_simia_drops_the_row() -> None:
    row = talk(ASK, Turn("assistant", "", (CALL,)), Turn("tool", 'Found:\n[{\n "id": 1\n}]'), DONE)
    for step in steps("none", "strip"):
        row = one(step(row))
    assert row.turns[2].text == 'Found:\n[{\n "id": 1\n}]'


def rows() -> st.SearchStrategy[Conversation]:
    text = st.sampled_from(
        ["", "Sure.", "<think>a</think>", f"{THOUGHT}Well", BLOCK, f"Hm.\n{BLOCK}{BLOCK}", "<tool_call>x"]
    )
    call = st.sampled_from(
        [CALL, ToolCall("get_order", {"order_id": "#W1"}), ToolCall("get_order", "{'order_id': 'W1'}")]
    )
    turn = st.one_of(
        st.builds(Turn, st.just("user"), st.sampled_from(["hi", RESULT.text, "<tool_response>\nA\n</tool_response>"])),
        st.builds(Turn, st.just("assistant"), text, st.lists(call, max_size=2).map(tuple)),
        st.just(RESULT),
    )
    return st.lists(turn, max_size=6).map(lambda turns: talk(*turns))


@given(rows(), st.sampled_from(list(product(("none", "simia"), ("strip", "simia", "keep")))))
def test_every_step_is_idempotent(row: Conversation, way: tuple[str, str]) -> None:
    for step in steps(*way):
        try:
            made = one(step(row))
        except Dropped:
            return
        assert one(step(made)) == made
        row = made


def test_the_recipe_takes_the_five_steps_in_the_source_documents_order() -> None:
    wanted = ["fix_arguments", "to_hermes", "correct_tool_calls", "think_tags", "system_prompt"]
    assert read_yaml(RECIPE)["convert"]["transforms"] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "match: retail\narguments:\n  id:\n    pattern: '('\n",
        "match: retail\nrules: {}\n",
        "arguments: {}\n",
        "match: ''\n",
    ],
)
def test_domain_that_is_none_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "domains").mkdir()
    (tmp_path / "domains/shop.yaml").write_text(text)
    monkeypatch.setattr(plugins, "_HERE", tmp_path)
    domains.cache_clear()
    with pytest.raises(ParleyError, match=r"shop.yaml: "):
        domains()
    domains.cache_clear()


def test_a_long_conversation_is_cut_behind_an_answer_and_never_between_a_call_and_its_result() -> None:
    called_twice = (Turn("assistant", "", (CALL,)), RESULT, Turn("assistant", "", (CALL,)), RESULT, DONE)
    row = talk(ASK, *called_twice, Turn("user", "And W2?"), *called_twice)
    keep = read_yaml(RECIPE)["encode"]["keep"]
    for limit in range(1, 13):
        kept = shorten(row, lambda part, limit=limit: len(part.turns) <= limit, keep=keep)
        assert kept is None if limit < 6 else kept and kept.turns == row.turns[: 12 if limit == 12 else 6]
