"""What the tool calls of a row must be: JSON, of a declared tool, answered. One small function a code, E011-E015."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from parley.specialists.schemas import tools_of
from parley.validation.row_shape import Check, Row, speakers_of, turns_of


def calls_are_json(row: Row) -> Iterator[str]:
    """E011."""
    for place, role, value in turns_of(row):
        if role == "function_call":
            try:
                calls_of(value)
            except ValueError as error:
                yield f"turn {place}: {error}"


def tools_are_schemas(row: Row) -> Iterator[str]:
    """E012."""
    try:
        tools_of(row.get("tools") or "")
    except ValueError as error:
        yield f"tools: {error}"


def calls_fit_their_tools(row: Row) -> Iterator[str]:
    """E013."""
    try:
        tools = tools_of(row.get("tools") or "")
    except ValueError:
        return  # E012
    for place, calls in _calls(row) if tools else ():
        for call in calls:
            yield from (f"turn {place}: {problem}" for problem in _misfits(call, tools))


def _misfits(call: Mapping[str, Any], tools: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with a call; names that stand only in the call are text of a turn and stay unsaid."""
    if call["name"] not in tools:
        yield "calls a tool that is not declared"
        return
    schema = tools[call["name"]]
    missing = [name for name in schema.get("required", []) if name not in call["arguments"]]
    if missing:
        yield f"tool {call['name']!r}: required arguments missing: {', '.join(missing)}"
    unknown = set(call["arguments"]) - set(schema.get("properties", {}))
    if unknown and schema.get("additionalProperties") is not True:
        yield f"tool {call['name']!r}: {len(unknown)} arguments that it does not declare"


def calls_are_observed(row: Row) -> Iterator[str]:
    """E014: as many observations as calls, or one that holds the list of them; a call at the end is E009's."""
    roles = speakers_of(row)
    for place, calls in _calls(row):
        if place == roles[-1][0]:
            continue
        after = ((role, value) for later, role, value in turns_of(row) if later > place)
        answers = [value for _, value in itertools.takewhile(lambda turn: turn[0] == "observation", after)]
        if len(answers) != len(calls) and not (len(answers) == 1 and _is_list(answers[0], len(calls))):
            yield f"turn {place}: {len(calls)} calls, {len(answers)} observations"


def _is_list(value: str, length: int) -> bool:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and len(found) == length


def calls_have_tools(row: Row) -> Iterator[str]:
    """E015."""
    if row.get("tools", "").strip() in ("", "[]") and any(role == "function_call" for _, role, _ in turns_of(row)):
        yield "function_call used but no tools declared"


def calls_of(value: str) -> list[dict[str, Any]]:
    """The calls in a function_call turn: the JSON in its last line, as `to_sharegpt` writes it.

    Raises ValueError with what is wrong, without a word of the turn.
    """
    try:
        found = json.loads(value.rpartition("\n")[2])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"function_call is not valid JSON ({type(error).__name__})") from None
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) for call in calls):
        raise ValueError("function_call must be an object or a list of objects")
    for call in calls:
        if not isinstance(call.get("name"), str):
            raise ValueError("function_call: missing 'name'")
        if not isinstance(call.get("arguments"), dict):
            raise ValueError("function_call: arguments must be an object")
    return calls


def _calls(row: Row) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(place, calls) of every function_call turn that is sound."""
    for place, role, value in turns_of(row):
        if role == "function_call":
            try:
                yield place, calls_of(value)
            except ValueError:
                continue  # E011


CALL_CHECKS: dict[str, Check] = {
    "E011": calls_are_json,
    "E012": tools_are_schemas,
    "E013": calls_fit_their_tools,
    "E014": calls_are_observed,
    "E015": calls_have_tools,
}
