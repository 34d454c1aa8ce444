"""The shape of a ShareGPT row, before anything else is asked of it: E002-E005, and its turns once these hold."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
Check = Callable[[Row], Iterator[str]]  # the reasons, if any

ROLES = ("system", "human", "gpt", "function_call", "observation")


def turns_are_a_list(row: Row) -> Iterator[str]:
    """E002."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        yield "'conversations' must be a non-empty list of objects"


def turns_have_their_keys(row: Row) -> Iterator[str]:
    """E003."""
    for place, turn in enumerate(row["conversations"]):
        if not {"from", "value"} <= turn.keys():
            yield f"turn {place}: missing 'from'/'value'"
        elif {"role", "content"} & turn.keys():
            yield f"turn {place}: both 'from'/'value' and 'role'/'content'"


def roles_are_known(row: Row) -> Iterator[str]:
    """E004."""
    for place, role, _ in turns_of(row):
        if role not in ROLES:
            # An unknown role could be somebody's name, so it is not repeated here.
            yield f"turn {place}: unknown role; expected {', '.join(ROLES)}"


def values_are_text(row: Row) -> Iterator[str]:
    """E005."""
    for place, _, value in turns_of(row):
        if not isinstance(value, str):
            yield f"turn {place}: value must be a string, got {type(value).__name__}"
    for column in ("system", "tools"):
        if not isinstance(row.get(column, ""), str):
            yield f"{column}: must be a string, got {type(row[column]).__name__}"


# In this order: each needs what those before it ask for.
SHAPE: dict[str, Check] = {
    "E002": turns_are_a_list,
    "E003": turns_have_their_keys,
    "E004": roles_are_known,
    "E005": values_are_text,
}


def turns_of(row: Row) -> Iterator[tuple[int, str, str]]:
    """(place, role, text) of every turn."""
    return ((place, turn["from"], turn["value"]) for place, turn in enumerate(row["conversations"]))


def speakers_of(row: Row) -> list[tuple[int, str]]:
    """(place, role) of every turn but the system's."""
    return [(place, role) for place, role, _ in turns_of(row) if role != "system"]
