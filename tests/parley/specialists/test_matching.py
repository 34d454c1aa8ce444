"""The lenient matcher; with PARLEY_REAL_DATA against the Berkeley Function Calling Leaderboard's own answers."""

import ast
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import ToolCall
from parley.specialists.matching import accepts, exact, listed, pairs

DATA = Path(os.environ.get("PARLEY_REAL_DATA", "missing")) / "agent_bfcl"
real = pytest.mark.skipif(not DATA.is_dir(), reason="PARLEY_REAL_DATA names no folder")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("New York, NY", "new york ny"),
        ("2024-05-01", "2024/05/01"),
        ("it's", 'it"s'),
        (5.0, 5),
        (["A b"], ["ab"]),
        ({"min": 1, "max": [2]}, {"max": [2], "min": 1.0}),
    ],
)
def test_values_are_alike_without_case_spaces_and_punctuation(wanted: Any, found: Any) -> None:
    assert accepts(listed({"a": wanted}), {"a": found})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(5, "5"), ("5", 5), (1, True), (True, 1), ("a", "b"), ([1], 1), ([1, 2], [2, 1]), ({"a": 1}, {"a": 1, "b": 2})],
)
def test_another_type_order_or_key_is_another_value(wanted: Any, found: Any) -> None:
    assert not accepts(listed({"a": wanted}), {"a": found})


def test_an_argument_may_be_left_out_where_that_is_listed() -> None:
    assert accepts({"a": [1], "unit": ["cm", ""]}, {"a": 1})
    assert not accepts({"a": [1], "unit": ["cm"]}, {"a": 1})
    assert not accepts({"a": [1]}, {"a": 1, "b": 2})
    assert not accepts({"a": [1]}, "a")


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_every_call_accepts_itself(arguments: dict[str, Any]) -> None:
    assert accepts(listed(arguments), arguments)
    assert exact(ToolCall("f", arguments)) == exact(ToolCall("f", json.loads(json.dumps(arguments))))


def test_order_does_not_count_and_each_call_counts_once() -> None:
    assert pairs([1, 2, 2], [2, 1], int.__eq__) == [(0, 1), (1, 0)]
    # The first fits both, the second one of them only: both are placed.
    assert pairs([{1, 2}, {1}], [1, 2], lambda wanted, found: found in wanted) == [(0, 1), (1, 0)]


def answers(file: str) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """(the tools, the listed answers) of each question."""
    questions = (DATA / f"BFCL_v4_{file}.json").read_text(encoding="utf-8").splitlines()
    listed_answers = (DATA / f"possible_answer_BFCL_v4_{file}.json").read_text(encoding="utf-8").splitlines()
    for question, answer in zip(map(json.loads, questions), map(json.loads, listed_answers), strict=True):
        assert question["id"] == answer["id"]
        yield question["function"], answer["ground_truth"]


def choices(values: list[Any]) -> list[Any]:
    """Each listed value as a model would give it: of a nested object one for each listed value of its keys."""
    return [choice for value in values if value != "" for choice in concrete(value)]


def concrete(value: Any) -> list[Any]:
    if isinstance(value, dict):
        given = {name: choices(values) for name, values in value.items()}
        longest = max((len(found) for found in given.values()), default=1)
        return [{k: found[n % len(found)] for k, found in given.items() if found} for n in range(longest)]
    if isinstance(value, list):
        parts = [concrete(inner) for inner in value]
        return [list(found) for found in itertools.islice(itertools.product(*parts), 3)]
    return [value]


def planted(arguments: dict[str, Any], wanted: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Calls that are wrong: a value changed, of another type, an argument missing that is due, one too many."""
    yield {**arguments, "planted_argument": 1}
    for name, value in arguments.items():
        if "" not in wanted[name]:
            yield {key: kept for key, kept in arguments.items() if key != name}
        yield {**arguments, name: f"{value} planted"}
        if isinstance(value, bool):
            yield {**arguments, name: int(value)}
        elif isinstance(value, int | float):
            yield {**arguments, name: str(value)}
            yield {**arguments, name: value + 7919}
        elif isinstance(value, list):
            yield {**arguments, name: [*value, "planted"]}


@real
@pytest.mark.parametrize(("file", "calls"), [("simple_python", 400), ("parallel", 540)])
def test_every_listed_answer_is_accepted_and_every_planted_one_rejected(file: str, calls: int) -> None:
    seen = accepted = rejected = 0
    for _, truth in answers(file):
        for entry in truth:
            ((_, wanted),) = entry.items()
            seen += 1
            first = {name: choices(values)[0] for name, values in wanted.items() if choices(values)}
            for name, values in wanted.items():
                for value in choices(values):
                    assert accepts(wanted, {**first, name: value}), (wanted, value)
                    accepted += 1
                if "" in values:
                    assert accepts(wanted, {key: value for key, value in first.items() if key != name})
            for wrong in planted(first, wanted):
                assert not accepts(wanted, wrong), (wanted, wrong)
                rejected += 1
    assert seen == calls and accepted > calls and rejected > 3 * calls


@real
def test_parallel_answers_match_in_any_order_and_only_whole() -> None:
    for _, truth in answers("parallel"):
        wanted = [next(iter(entry.items())) for entry in truth]
        made = [
            ToolCall(name, {key: choices(values)[0] for key, values in listed.items() if choices(values)})
            for name, listed in reversed(wanted)
        ]

        def fits(want: tuple[str, Any], call: ToolCall) -> bool:
            return want[0] == call.name and accepts(want[1], call.arguments)

        assert len(pairs(wanted, made, fits)) == len(wanted)
        assert len(pairs(wanted, made[1:], fits)) == len(wanted) - 1
        assert len(pairs(wanted, [ToolCall("planted", made[0].arguments), *made[1:]], fits)) == len(wanted) - 1


@real
def test_calls_of_many_turns_accept_themselves_only() -> None:
    seen = 0
    for line in (DATA / "possible_answer_BFCL_v4_multi_turn_base.json").read_text(encoding="utf-8").splitlines():
        for text in itertools.chain(*json.loads(line)["ground_truth"]):
            call = ast.parse(text, mode="eval").body
            assert isinstance(call, ast.Call)
            arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
            assert accepts(listed(arguments), arguments)
            assert not any(accepts(listed(arguments), wrong) for wrong in planted(arguments, listed(arguments)))
            seen += 1
    assert seen > 500
