"""Tools as JSON schemas, and calls held against them."""

import functools
import json
from collections.abc import Mapping
from typing import Any, Literal

from parley.conversation import ToolCall

Schema = Mapping[str, Any]

Misfit = Literal[
    "",  # the call fits
    "unparsable_arguments",
    "unknown_tool",
    "missing_argument",
    "unknown_argument",
    "wrong_value",  # of another type, not in the enum, out of range …
    "broken_schema",  # the tool's own schema is none, so nothing can be held against it
]


def tools_of(text: str) -> dict[str, dict[str, Any]]:
    """Tool name -> JSON schema of its parameters, from a JSON list of tools, bare or in OpenAI's {"type": "function"}.

    "" has none. Raises ValueError with what is wrong.
    """
    if not text:
        return {}
    try:
        tools = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(tools, list):
        raise ValueError("must be a JSON list")
    found: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(tools):
        tool = entry.get("function", entry) if isinstance(entry, dict) else None
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise ValueError(f"tool {number}: missing 'name'")
        schema = {} if tool.get("parameters") is None else tool["parameters"]
        if not _is_schema(schema):
            raise ValueError(f"tool {number}: parameters must be a JSON schema")
        if tool["name"] in found:
            raise ValueError(f"tool {number}: declared twice")
        found[tool["name"]] = schema
    return found


def _is_schema(schema: object) -> bool:
    """Whether the parts of a JSON schema that the checks read have their types."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        return False
    required = schema.get("required", [])
    return isinstance(required, list) and all(isinstance(name, str) for name in required)


def misfit(call: ToolCall, tools: Mapping[str, Schema]) -> Misfit:
    """What is wrong with a call; an argument that the schema does not name counts unless it says that more may come."""
    if isinstance(call.arguments, str):
        return "unparsable_arguments"
    if call.name not in tools:
        return "unknown_tool"
    schema = tools[call.name]
    if any(name not in call.arguments for name in schema.get("required", [])):
        return "missing_argument"
    if schema.get("additionalProperties") is not True and call.arguments.keys() - schema.get("properties", {}).keys():
        return "unknown_argument"
    validator = _validator(json.dumps(schema, sort_keys=True))
    if validator is None:
        return "broken_schema"
    from referencing.exceptions import Unresolvable

    try:
        return "" if validator.is_valid(dict(call.arguments)) else "wrong_value"
    except (Unresolvable, RecursionError):
        return "broken_schema"


@functools.lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    """The schema's validator; None where it is no schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    found = json.loads(schema)
    try:
        Draft202012Validator.check_schema(found)
    except (SchemaError, RecursionError):
        return None
    # An empty registry: the default one would fetch a "$ref" from the network.
    return Draft202012Validator(found, registry=Registry())
