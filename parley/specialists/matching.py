"""Whether calls are the wanted ones: exactly, or leniently as the Berkeley Function Calling Leaderboard compares.

Lenient: text without regard to case, spaces and ,./-_*^, both quotes alike; 5 for 5.0, but never true for 1 or "5" for
5; of every argument any of the listed values; one that may be left out lists "" among its values. Calls of one turn
match in any order. After https://github.com/ShishirPatil/gorilla, bfcl_eval/eval_checker/ast_eval/ast_checker.py
(6ea5797).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from parley.conversation import ToolCall

W = TypeVar("W")
F = TypeVar("F")

Listed = Mapping[str, Sequence[Any]]  # argument -> values that are right


def exact(call: ToolCall) -> str:
    """The call as canonical JSON: two calls are the same if these are."""
    return json.dumps(call.row(), sort_keys=True)


def listed(arguments: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Arguments that are the only right ones, as `accepts` takes them."""
    return {name: [_listed(value)] for name, value in arguments.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return listed(value)
    return [_listed(inner) for inner in value] if isinstance(value, list) else value


def accepts(wanted: Listed, arguments: Any) -> bool:
    """Whether every argument has one of its listed values, and none is too many or missing."""
    if not isinstance(arguments, Mapping) or arguments.keys() - wanted.keys():
        return False
    return all(
        any(_alike(value, arguments[name]) for value in values) if name in arguments else "" in values
        for name, values in wanted.items()
    )


def _alike(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str) and _plain(wanted) == _plain(found)
    if isinstance(wanted, Mapping):
        return accepts(wanted, found)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(_alike, wanted, found))
    # 1 == True in Python; a number for a truth value is another value here.
    return bool(wanted == found) and isinstance(wanted, bool) == isinstance(found, bool)


def _plain(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).casefold().replace("'", '"')


def pairs(wanted: Sequence[W], found: Sequence[F], fits: Callable[[W, F], bool]) -> list[tuple[int, int]]:
    """The most pairs (index of wanted, index of found) that fit, each used once: order does not count."""
    of: dict[int, int] = {}  # found -> wanted

    def place(want: int, tried: set[int]) -> bool:
        for index in range(len(found)):
            if index not in tried and fits(wanted[want], found[index]):
                tried.add(index)
                if index not in of or place(of[index], tried):
                    of[index] = want
                    return True
        return False

    for want in range(len(wanted)):
        place(want, set())
    return sorted((want, index) for index, want in of.items())
