import json
from typing import Any

import pytest

from parley.conversation import Conversation, ToolCall, Turn
from parley.evaluation import Case, Generation
from parley.scorecards.agent import score
from parley.scoring.both import Both
from parley.scoring.scorecard import block
from parley.specialists.hermes import in_text

TOOLS = json.dumps(
    [
        {
            "name": "look",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
        },
        {
            "name": "go",
            "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "fast": {"type": "boolean"}}},
        },
    ]
)
LOOK, GO = ToolCall("look", {"at": "North Quay"}), ToolCall("go", {"to": "Oslo", "fast": True})


def case(number: int, *calls: ToolCall, turn: int = 1, tools: str = TOOLS, text: str = "", **labels: str) -> Case:
    context = Conversation(f"c{number}", (Turn("user", "please"),), tools=tools, labels=labels)
    return Case(f"c{number}#{turn}", "test", context, Turn("assistant", text, calls), labels)


def figures(cases: list[Case], tuned: list[str], base: list[str] | None = None) -> dict[str, Any]:
    """Name -> slice -> entry, of answers in the cases' order; the base says nothing of use."""
    made = {case.id: Generation(case.id, text, "stop", 3, (-1.0,)) for case, text in zip(cases, tuned, strict=True)}
    other = {
        case.id: Generation(case.id, text, "stop", 3, (-1.0,))
        for case, text in zip(cases, base or ["hm"] * len(cases), strict=True)
    }
    found: dict[str, Any] = block(score(cases, Both(made, other, 200, 1)))["test"]
    return found


def values(cases: list[Case], tuned: list[str]) -> dict[str, float | None]:
    found = figures(cases, tuned)
    return {
        name: slices["all"]["tuned"]["value"] if "tuned" in slices["all"] else None for name, slices in found.items()
    }


def test_perfect_answers_are_perfect_and_a_base_that_only_talks_is_nothing() -> None:
    cases = [case(1, LOOK), case(2, LOOK, GO), case(3, text="No call.")]
    found = figures(cases, [in_text("", (LOOK,)), in_text("Sure.", (GO, LOOK)), "Other words."])
    for name in ("json_valid", "schema_valid", "call_decision_f1", "tool_name_acc", "arg_exact", "arg_lenient"):
        assert found[name]["all"]["tuned"]["value"] == 1
        assert found[name]["all"]["base"]["value"] == 0
    assert found["spurious_call"]["all"]["tuned"]["value"] == found["hallucinated_tool"]["all"]["tuned"]["value"] == 0
    assert found["turn_exact"]["all"]["tuned"]["value"] == found["trajectory_exact"]["all"]["tuned"]["value"] == 1
    assert found["turn_exact"]["all"]["base"]["value"] == pytest.approx(1 / 3)  # it rightly makes no call once
    assert found["tool_name_acc"]["all"]["n"] == 2 and found["tool_name_acc"]["all"]["groups"] == 2


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("<tool_call>\n{\n</tool_call>", {"json_valid": 0, "call_decision_f1": 1, "turn_exact": 0}),
        (
            in_text("", (ToolCall("look", {"at": "north-quay"}),)),
            {"arg_exact": 0, "arg_lenient": 1, "arg_key_f1": 1, "turn_exact": 0},
        ),
        (
            in_text("", (ToolCall("look", {"in": "North Quay"}),)),
            {"schema_valid": 0, "arg_lenient": 0, "arg_key_f1": 0},
        ),
        (in_text("", (ToolCall("fly", {}),)), {"tool_name_acc": 0, "hallucinated_tool": 1, "json_valid": 1}),
        (
            in_text("", (LOOK, LOOK)),
            {"tool_name_acc": 1, "arg_exact": 1, "arg_key_f1": pytest.approx(2 / 3), "turn_exact": 0},
        ),
        ("Which one?", {"json_valid": 0, "schema_valid": 0, "call_decision_f1": 0, "arg_key_f1": 0}),
        (in_text("", (LOOK,)) + "<tool_call>", {"json_valid": 0.5, "arg_exact": 1, "turn_exact": 0}),
    ],
)
def test_each_figure_sees_its_own_fault(answer: str, wanted: dict[str, Any]) -> None:
    found = values([case(1, LOOK)], [answer])
    assert {name: found[name] for name in wanted} == wanted


def test_call_decision_is_an_f1_over_turns() -> None:
    cases = [case(1, LOOK), case(2, LOOK), case(3, text="a"), case(4, text="b"), case(5, text="c")]
    answers = [in_text("", (GO,)), "no", in_text("", (GO,)), "no", "no"]
    found = values(cases, answers)
    assert found["call_decision_f1"] == pytest.approx(2 / (2 + 1 + 1))
    assert found["spurious_call"] == pytest.approx(1 / 3)


def test_trajectory_is_exact_when_all_its_turns_are() -> None:
    cases = [case(1, LOOK, turn=1), case(1, GO, turn=3), case(2, LOOK, turn=1)]
    found = figures(cases, [in_text("", (LOOK,)), in_text("", (LOOK,)), in_text("", (LOOK,))])["trajectory_exact"][
        "all"
    ]
    assert found["tuned"]["value"] == 0.5 and found["n"] == 2


def test_row_without_tools_has_no_schema_to_break() -> None:
    found = figures([case(1, LOOK, tools="")], [in_text("", (LOOK,))])
    assert found["schema_valid"]["all"]["not_scored"] == "no tools declared (1)"
    assert found["arg_exact"]["all"]["tuned"]["value"] == 1


def test_calls_and_tools_that_stand_in_text_are_found() -> None:
    tools = "\n".join(json.dumps(tool) for tool in json.loads(TOOLS))
    context = Conversation("c", (Turn("user", "please"),), system=f"Be kind. <tools>\n{tools}\n</tools>")
    row = Case("c#1", "test", context, Turn("assistant", in_text("Sure.", (LOOK,))))
    found = values([row], [in_text("", (LOOK,))])
    assert found["turn_exact"] == found["schema_valid"] == found["tool_name_acc"] == 1


def test_slices_by_label_and_by_tool() -> None:
    cases = [case(1, LOOK, domain="sea"), case(2, GO, domain="land"), case(3, LOOK, domain="sea", note="x" * 41)]
    found = figures(cases, [in_text("", (LOOK,)), "hm", "hm"])
    assert {name: entry["tuned"]["value"] for name, entry in found["tool_name_acc"].items()} == {
        "all": pytest.approx(1 / 3),
        "domain sea": 0.5,
        "domain land": 0,
        "tool look": 0.5,
        "tool go": 0,
    }
    many = [case(number, LOOK, word=f"w{number}") for number in range(21)]
    assert not [name for name in figures(many, ["hm"] * 21)["tool_name_acc"] if name.startswith("word")]


def test_only_the_test_split_is_reported_and_none_of_it_says_so() -> None:
    row = case(1, LOOK)
    val = Case(row.id, "val", row.context, row.reference)
    assert figures([val], [""])["tool_name_acc"]["all"]["not_scored"] == "no case in this split"
