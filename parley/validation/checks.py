"""What a row must be before anybody learns from it: one small function a code, each finding with its turn.

Rows are ShareGPT as `conversation.to_sharegpt` writes them. E codes reject a row, W codes keep it. E002-E005 are in
row_shape.py, E011-E015 in call_checks.py; the codes that need more than one row (W101 and W102 duplicates, W104 leak)
are found by the stage, and E018 by encode.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from parley.conversion.identifiers import cards, emails, ibans, ips, keys
from parley.validation.call_checks import CALL_CHECKS
from parley.validation.row_shape import SHAPE, Check, Row, speakers_of, turns_of

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
    "trigger",  # one question, one answer
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
    for code, check in SHAPE.items():
        for reason in check(row):
            return [Finding(code, reason)]
    checks = CHECKS | PROFILES[profile]
    return [Finding(code, reason) for code, check in checks.items() for reason in check(row)]


def turns_say_something(row: Row) -> Iterator[str]:
    """E006; but a tool that does its work may have nothing to say."""
    for place, role, value in turns_of(row):
        if role != "observation" and not value.strip():
            yield f"turn {place}: empty {role} turn"


def system_comes_first(row: Row) -> Iterator[str]:
    """E007."""
    for place, role, value in turns_of(row):
        if role == "system" and place > 0:
            yield f"turn {place}: system must come first"
        elif role == "system" and row.get("system", "") not in ("", value):
            yield f"turn {place}: system turn and system column differ"


def human_starts(row: Row) -> Iterator[str]:
    """E008."""
    roles = speakers_of(row)
    if not roles or roles[0][1] != "human":
        yield f"must start with human, got {roles[0][1] if roles else 'system only'}"


def human_is_there(row: Row) -> Iterator[str]:
    """E008 of turn detectors: what they listen to may begin with a greeting."""
    if not any(role == "human" for _, role in speakers_of(row)):
        yield "has no human turn"


def ends_with(*allowed: str) -> Check:
    """E009."""

    def check(row: Row) -> Iterator[str]:
        roles = speakers_of(row)
        if roles and roles[-1][1] not in allowed:
            yield f"must end with {' or '.join(allowed)}, got {roles[-1][1]}"

    return check


def roles_follow(after: Mapping[str, tuple[str, ...]]) -> Check:
    """E010; the first turn is E008's."""

    def check(row: Row) -> Iterator[str]:
        for (_, before), (place, role) in pairwise(speakers_of(row)):
            if before not in after[role]:
                yield f"turn {place}: {role!r} cannot follow {before!r}"

    return check


def one_question_one_answer(row: Row) -> Iterator[str]:
    """E010 of trigger-conditioned pairs."""
    if [role for _, role in speakers_of(row)] != ["human", "gpt"]:
        yield "must be one human turn and one gpt turn"


def tags_are_balanced(row: Row) -> Iterator[str]:
    """E016; control tokens are only counted here, encode decides about them."""
    for place, role, value in turns_of(row):
        for tag in ("think", "tool_call") if role in ("gpt", "function_call") else ():
            opened, closed = value.count(f"<{tag}>"), value.count(f"</{tag}>")
            if opened != closed:
                yield f"turn {place}: {opened} <{tag}> but {closed} </{tag}>"


_INVALID = re.compile("[\\x00\\ud800-\\udfff]")


def characters_are_valid(row: Row) -> Iterator[str]:
    """E017."""
    for place, _, value in turns_of(row):
        if found := _INVALID.search(value):
            yield f"turn {place}: invalid character U+{ord(found[0]):04X}"


_PRIVATE = {"e-mail address": emails, "key": keys, "bank account": ibans, "card": cards, "machine's address": ips}


def nothing_private_is_left(row: Row) -> Iterator[str]:
    """W103: what `redact.kinds` let through; names and telephone numbers are not looked for again."""
    for place, _, value in turns_of(row):
        for what, step in _PRIVATE.items():
            if step(value)[1]:
                yield f"turn {place}: {what} found"


_PLACEHOLDER = re.compile(r"\{\{\s*\w{1,64}\s*\}\}")


def placeholders_are_filled(row: Row) -> Iterator[str]:
    """W105."""
    for place, _, value in turns_of(row):
        if _PLACEHOLDER.search(value):
            yield f"turn {place}: unfilled placeholder"
    if _PLACEHOLDER.search(row.get("system", "")):
        yield "system: unfilled placeholder"


def control_tokens(row: Row) -> Counter[str]:
    """Control token -> how often somebody typed it."""
    return Counter(token for _, _, value in turns_of(row) for token in CONTROL_TOKENS.findall(value))


CHECKS: dict[str, Check] = {
    "E006": turns_say_something,
    "E007": system_comes_first,
    "E008": human_starts,
    "E009": ends_with("gpt"),
    "E010": roles_follow(AFTER),
    **CALL_CHECKS,
    "E016": tags_are_balanced,
    "E017": characters_are_valid,
    "W103": nothing_private_is_left,
    "W105": placeholders_are_filled,
}
# What a profile checks otherwise.
PROFILES: dict[Profile, dict[str, Check]] = {
    "chat": {},
    "agent": {"E009": ends_with("gpt", "function_call")},
    "trigger": {"E010": one_question_one_answer},
    "turn_detector": {
        "E008": human_is_there,
        "E009": ends_with("gpt", "human"),
        "E010": roles_follow(AFTER | {"human": ("human", "gpt")}),  # people go on
    },
}
# E codes that only warn in a profile. Logs of agents often lack the tools' schemas: without them no call can be held
# against its tool, but it can be learnt.
ONLY_WARN: dict[Profile, tuple[str, ...]] = {"chat": (), "agent": ("E015",), "trigger": (), "turn_detector": ()}
