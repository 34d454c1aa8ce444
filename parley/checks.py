"""What a row must be before anybody learns from it: one small function a code, each finding with its turn.

Rows are ShareGPT as `conversation.to_sharegpt` writes them. E codes reject a row, W codes keep it. The codes
that need more than one row (W101 and W102 duplicates, W104 leak) are found by the stage, and E018 by encode.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from parley.identifiers import cards, emails, ibans, ips, keys
from parley.schemas import tools_of

Row = Mapping[str, Any]

ROLES = ("system", "human", "gpt", "function_call", "observation")
# What each role may follow; the first turn (after a system turn) follows "".
AFTER = {
    "human": ("", "gpt"),
    "gpt": ("human", "observation"),
    "function_call": ("human", "observation"),
    "observation": ("function_call", "observation"),
}
# Control tokens of the usual chat templates. Typed by people they are text, and encode keeps them so.
CONTROL_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id"
    r"|user|assistant|system|end)\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<bos>|<eos>"
)

Profile = Literal[
    "chat",  # people's talk: the assistant has the last word
    "agent",  # or calls a tool last
    "turn_detector",  # or the user speaks last, and several times in a row; the assistant may begin
]


@dataclass(frozen=True, slots=True)
class Finding:
    """A code and the sentence that explains it, without a word of a turn."""

    code: str
    reason: str

    def rejects(self, profile: Profile) -> bool:
        """Whether the row goes; else the finding is only counted."""
        return self.code.startswith("E") and self.code not in ONLY_WARN[profile]


def findings(row: Row, profile: Profile = "chat") -> list[Finding]:
    """Every finding about a row. The later checks need its shape, so a row that fails E002-E005 gets only that."""
    shape = [Finding(code, reason) for code, check in SHAPE.items() for reason in check(row)]
    checks = CHECKS | PROFILES[profile]
    return shape[:1] or [Finding(code, reason) for code, check in checks.items() for reason in check(row)]


def turns_are_a_list(row: Row) -> Iterator[str]:
    """E002."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        yield "'conversations' must be a non-empty list of objects"


def turns_have_their_keys(row: Row) -> Iterator[str]:
    """E003."""
    for place, turn in _objects(row):
        if not {"from", "value"} <= turn.keys():
            yield f"turn {place}: missing 'from'/'value'"
        elif {"role", "content"} & turn.keys():
            yield f"turn {place}: both 'from'/'value' and 'role'/'content'"


def roles_are_known(row: Row) -> Iterator[str]:
    """E004."""
    for place, turn in _objects(row):
        if turn.get("from") not in ROLES:
            # An unknown role could be somebody's name, so it is not repeated here.
            yield f"turn {place}: unknown role; expected {', '.join(ROLES)}"


def values_are_text(row: Row) -> Iterator[str]:
    """E005."""
    for place, turn in _objects(row):
        if not isinstance(turn.get("value"), str):
            yield f"turn {place}: value must be a string, got {type(turn.get('value')).__name__}"
    for column in ("system", "tools"):
        if not isinstance(row.get(column, ""), str):
            yield f"{column}: must be a string, got {type(row[column]).__name__}"


def _objects(row: Row) -> Iterator[tuple[int, dict[str, Any]]]:
    turns = row.get("conversations")
    return (
        (place, turn) for place, turn in enumerate(turns if isinstance(turns, list) else []) if isinstance(turn, dict)
    )


def turns_say_something(row: Row) -> Iterator[str]:
    """E006; but a tool that does its work may have nothing to say."""
    for place, role, value in _turns(row):
        if role != "observation" and not value.strip():
            yield f"turn {place}: empty {role} turn"


def system_comes_first(row: Row) -> Iterator[str]:
    """E007."""
    for place, role, value in _turns(row):
        if role == "system" and place > 0:
            yield f"turn {place}: system must come first"
        elif role == "system" and row.get("system", "") not in ("", value):
            yield f"turn {place}: system turn and system column differ"


def human_starts(row: Row) -> Iterator[str]:
    """E008."""
    roles = _speakers(row)
    if not roles or roles[0][1] != "human":
        yield f"must start with human, got {roles[0][1] if roles else 'system only'}"


def human_is_there(row: Row) -> Iterator[str]:
    """E008 of turn detectors: what they listen to may begin with a greeting."""
    if not any(role == "human" for _, role in _speakers(row)):
        yield "has no human turn"


def gpt_ends(row: Row) -> Iterator[str]:
    """E009."""
    roles = _speakers(row)
    if roles and roles[-1][1] != "gpt":
        yield f"must end with gpt, got {roles[-1][1]}"


def gpt_or_a_call_ends(row: Row) -> Iterator[str]:
    """E009 of agents."""
    roles = _speakers(row)
    if roles and roles[-1][1] not in ("gpt", "function_call"):
        yield f"must end with gpt or function_call, got {roles[-1][1]}"


def gpt_or_human_ends(row: Row) -> Iterator[str]:
    """E009 of turn detectors."""
    roles = _speakers(row)
    if roles and roles[-1][1] not in ("gpt", "human"):
        yield f"must end with gpt or human, got {roles[-1][1]}"


def roles_alternate(row: Row) -> Iterator[str]:
    """E010; the first turn is E008's."""
    yield from _misplaced(row, AFTER)


def humans_may_go_on(row: Row) -> Iterator[str]:
    """E010 of turn detectors."""
    yield from _misplaced(row, AFTER | {"human": ("human", "gpt")})


def _misplaced(row: Row, after: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for (_, before), (place, role) in pairwise(_speakers(row)):
        if before not in after[role]:
            yield f"turn {place}: {role!r} cannot follow {before!r}"


def calls_are_json(row: Row) -> Iterator[str]:
    """E011."""
    for place, role, value in _turns(row):
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
    roles = _speakers(row)
    for place, calls in _calls(row):
        if place == roles[-1][0]:
            continue
        answers = 0
        for later, role in roles:
            if later > place and role == "observation":
                answers += 1
            elif later > place:
                break
        if answers not in (1, len(calls)):
            yield f"turn {place}: {len(calls)} calls, {answers} observations"


def calls_have_tools(row: Row) -> Iterator[str]:
    """E015."""
    if not row.get("tools") and any(role == "function_call" for _, role, _ in _turns(row)):
        yield "function_call used but no tools declared"


def tags_are_balanced(row: Row) -> Iterator[str]:
    """E016; control tokens are only counted here, encode decides about them."""
    for place, role, value in _turns(row):
        for tag in ("think", "tool_call") if role in ("gpt", "function_call") else ():
            opened, closed = value.count(f"<{tag}>"), value.count(f"</{tag}>")
            if opened != closed:
                yield f"turn {place}: {opened} <{tag}> but {closed} </{tag}>"


_INVALID = re.compile("[\\x00\\ud800-\\udfff]")


def characters_are_valid(row: Row) -> Iterator[str]:
    """E017."""
    for place, _, value in _turns(row):
        if found := _INVALID.search(value):
            yield f"turn {place}: invalid character U+{ord(found[0]):04X}"


_PRIVATE = {"e-mail address": emails, "key": keys, "bank account": ibans, "card": cards, "machine's address": ips}


def nothing_private_is_left(row: Row) -> Iterator[str]:
    """W103: what `redact.kinds` let through; names and telephone numbers are not looked for again."""
    for place, _, value in _turns(row):
        for what, step in _PRIVATE.items():
            if step(value)[1]:
                yield f"turn {place}: {what} found"


_PLACEHOLDER = re.compile(r"\{\{\s*\w{1,64}\s*\}\}")


def placeholders_are_filled(row: Row) -> Iterator[str]:
    """W105."""
    for place, _, value in _turns(row):
        if _PLACEHOLDER.search(value):
            yield f"turn {place}: unfilled placeholder"
    if _PLACEHOLDER.search(row.get("system", "")):
        yield "system: unfilled placeholder"


def control_tokens(row: Row) -> Counter[str]:
    """Control token -> how often somebody typed it."""
    return Counter(token for _, _, value in _turns(row) for token in CONTROL_TOKENS.findall(value))


Check = Callable[[Row], Iterator[str]]

SHAPE: dict[str, Check] = {
    "E002": turns_are_a_list,
    "E003": turns_have_their_keys,
    "E004": roles_are_known,
    "E005": values_are_text,
}
CHECKS: dict[str, Check] = {
    "E006": turns_say_something,
    "E007": system_comes_first,
    "E008": human_starts,
    "E009": gpt_ends,
    "E010": roles_alternate,
    "E011": calls_are_json,
    "E012": tools_are_schemas,
    "E013": calls_fit_their_tools,
    "E014": calls_are_observed,
    "E015": calls_have_tools,
    "E016": tags_are_balanced,
    "E017": characters_are_valid,
    "W103": nothing_private_is_left,
    "W105": placeholders_are_filled,
}
# What a profile checks otherwise.
PROFILES: dict[Profile, dict[str, Check]] = {
    "chat": {},
    "agent": {"E009": gpt_or_a_call_ends},
    "turn_detector": {"E008": human_is_there, "E009": gpt_or_human_ends, "E010": humans_may_go_on},
}
# E codes that only warn in a profile. Logs of agents often lack the tools' schemas: without them no call can be held
# against its tool, but it can be learnt.
ONLY_WARN: dict[Profile, tuple[str, ...]] = {"chat": (), "agent": ("E015",), "turn_detector": ()}


def _turns(row: Row) -> Iterator[tuple[int, str, str]]:
    return ((place, turn["from"], turn["value"]) for place, turn in enumerate(row["conversations"]))


def _speakers(row: Row) -> list[tuple[int, str]]:
    """(place, role) of every turn but the system's."""
    return [(place, role) for place, role, _ in _turns(row) if role != "system"]


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
    for place, role, value in _turns(row):
        if role == "function_call":
            try:
                yield place, calls_of(value)
            except ValueError:
                continue  # E011
