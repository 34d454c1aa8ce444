"""tool_log: runs of an agent that calls tools, as benchmarks log them, and single calls as APIGen writes them.

tau-bench (https://github.com/sierra-research/tau-bench, historical_trajectories), tau2-bench
(https://github.com/sierra-research/tau2-bench, results.json with its simulations) and APIGen
(https://huggingface.co/datasets/Salesforce/xlam-function-calling-60k), all 2026. Rows of Simia and APIGen-MT are
`sharegpt`. A record of each, as it comes:

    {"task_id": 0, "trial": 0, "reward": 1.0, "traj": [{"role": "system", "content": "Policy"}, ...]}
    {"info": {"environment_info": {"policy": "Policy"}}, "simulations": [{"id": "x", "messages": [...]}]}
    {"id": 0, "query": "Weather?", "answers": "[{\\"name\\": \\"weather\\", \\"arguments\\": {}}]", "tools": "[...]"}

What stands before the first user turn (a greeting) or after the assistant's last (the simulated user's stop mark) is
left out. In tau2-bench the user has tools too; the agent never sees those calls, so they are left out as well.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from parley.conversation import Conversation
from parley.ingestion.json_stream import JsonArray
from parley.ingestion.reading import Record, head_of, pieces_of
from parley.ingestion.rows import RowError, read_rows, records_of
from parley.ingestion.shapes import shape_of
from parley.ingestion.turns import Call, Part, conversation_of
from parley.ingestion.turns import Row as Turns

# Python's names of types, as APIGen writes them, and JSON schema's.
TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


class Said(Part):
    """A message of a run; in tau2-bench it says who called the tool."""

    requestor: str = "assistant"


class Row(msgspec.Struct, gc=False):
    """One record as it comes, of any of the three."""

    id: Any = None
    task_id: Any = None
    traj: list[Said] | None = None
    messages: list[Said] | None = None
    query: str | None = None
    answers: Any = None
    tools: Any = None


def recognises(head: bytes, name: str) -> bool:
    """Whether the first record has a trajectory, simulations, or a query with its calls."""
    shape = shape_of(head)
    return "traj" in shape or "simulations" in shape or {"query", "answers", "tools"} <= shape


def read(path: Path, name: str) -> Iterator[Record]:
    """Every run or row; the runs of one task are one group."""
    if "simulations" not in shape_of(head_of(path)):
        return read_rows(path, name, Row, _conversation)
    array = JsonArray(pieces_of(path), key="simulations", where=str(path))
    info = array.header.get("info")
    world = info.get("environment_info") if isinstance(info, dict) else None
    world = world if isinstance(world, dict) else {}
    convert = partial(_conversation, policy=str(world.get("policy") or ""), tools=world.get("tool_defs"))
    return records_of(array, name, Row, convert)


def _conversation(row: Row, id: str, source: str, *, policy: str = "", tools: Any = None) -> Conversation:
    if row.query is not None:
        return _single_call(row, id, source)
    said = [part for part in row.traj or row.messages or () if part.requestor != "user"]
    # In tau2-bench a user's turn may be a call only, which the agent never sees.
    said = [part for part in said if not (part.role == "user" and part.tool_calls)]
    found = conversation_of(Turns(messages=list[Part](said), system=policy, tools=tools or row.tools), id, source)
    roles = [turn.role for turn in found.turns]
    if "user" not in roles or "assistant" not in roles[roles.index("user") :]:
        raise RowError("E002", "no user turn that the assistant answers")
    start, end = roles.index("user"), len(roles) - roles[::-1].index("assistant")
    group = id if row.task_id is None else f"{source.partition(':')[0]} task {row.task_id}"
    return replace(found, turns=found.turns[start:end], group=group)


def _single_call(row: Row, id: str, source: str) -> Conversation:
    """APIGen's question and the calls that answer it."""
    calls = _json(row.answers, "answers")
    tools = [_schema(tool) for tool in _json(row.tools, "tools")]
    try:
        answer = Part(role="assistant", content="", tool_calls=msgspec.convert(calls, list[Call]))
    except msgspec.ValidationError:
        raise RowError("E011", "turn 1: 'answers' is no list of calls") from None
    return conversation_of(Turns(messages=[Part(role="user", content=row.query), answer], tools=tools), id, source)


def _json(value: Any, field: str) -> list[Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise RowError("E012" if field == "tools" else "E011", f"'{field}' is no JSON list")
    return found


def _schema(tool: Any) -> dict[str, Any]:
    """A tool with JSON-schema parameters, from one whose parameters are {name: {type, description, default}}."""
    if not isinstance(tool, dict) or not isinstance(tool.get("parameters"), dict):
        raise RowError("E012", "tools: one has no parameters")
    parameters = tool["parameters"]
    if "properties" in parameters or not all(isinstance(about, dict) for about in parameters.values()):
        return tool
    properties = {name: {**about, **_type(about)} for name, about in parameters.items()}
    optional = {
        name for name, about in parameters.items() if "default" in about or "optional" in str(about.get("type"))
    }
    needed = [name for name in parameters if name not in optional]
    return {**tool, "parameters": {"type": "object", "properties": properties, "required": needed}}


def _type(about: dict[str, Any]) -> dict[str, str]:
    """{"type": "string"} of "str, optional"; "List[int]" is an array."""
    first = str(about.get("type", "")).partition(",")[0].partition("[")[0].strip().lower()
    return {"type": TYPES.get(first, first)} if first in TYPES or first in TYPES.values() else {"type": "string"}
