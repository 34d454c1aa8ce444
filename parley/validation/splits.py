"""Which conversation is trained on and which is held out: whole groups, by time or by lot, nothing in two splits."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
GroupBy = Literal[
    "conversation",  # the session, the row or the rows of one template, as the format and convert say
    "channel",  # all of a channel; of a file, for rows that come from none
    "author",  # all that one person answers; for rows without one, as by conversation
]
_SESSION = re.compile(r"([0-9a-f]{6})-[0-9a-f]{12}")  # as convert names them: channel, then session


@dataclass(frozen=True, slots=True)
class Row:
    """What dealing a conversation to a split needs of it."""

    id: str
    source: str
    group: str
    time: int | None
    answers: tuple[int, ...]  # as `answers` gives them


def group_of(conversation: Conversation, by: GroupBy) -> str:
    """What keeps conversations together in one split."""
    group = conversation.group or conversation.id
    if by == "channel":
        session = _SESSION.fullmatch(group)
        return session[1] if session else conversation.source.rpartition(":")[0] or group
    return (conversation.author or group) if by == "author" else group


def row_of(conversation: Conversation, source: str, by: GroupBy) -> Row:
    """The row of a conversation, grouped by `by`."""
    group, said = group_of(conversation, by), tuple(answers(conversation))
    return Row(conversation.id, source, group, conversation.time, said)


def fingerprint(conversation: Conversation) -> bytes:
    """The same 16 bytes for conversations that differ only in case, spacing or Unicode form: exact duplicates."""
    parts = [_plain(conversation.system), conversation.tools, *map(_plain_turn, conversation.turns)]
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def answers(conversation: Conversation) -> Iterator[int]:
    """For each assistant turn, and the last, a hash of it and of all turns before it, the system prompt left out."""
    running = hashlib.sha256()
    for place, turn in enumerate(conversation.turns, start=1):
        running.update(_plain_turn(turn).encode())
        if turn.role == "assistant" or place == len(conversation.turns):
            yield int.from_bytes(running.digest()[:8], "big")


def words(conversation: Conversation) -> str:
    """All that its turns say, as near duplicates are compared: without roles, which would make short ones alike."""
    calls = [f"{call.name} {json.dumps(call.arguments)}" for turn in conversation.turns for call in turn.calls]
    return "\n".join([*(_plain(turn.text) for turn in conversation.turns), *calls])


def _plain_turn(turn: Turn) -> str:
    calls = [(call.name, json.dumps(call.arguments, sort_keys=True)) for call in turn.calls]
    return repr((turn.role, _plain(turn.text), calls))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def lot(seed: int, name: str) -> bytes:
    """Depends on the seed and the name only: neither on the order of the rows nor on the other names."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def split_groups(
    rows: Iterable[Row], *, by: Literal["time", "group"], val: float, test: float, seed: int
) -> dict[str, Split]:
    """Group -> split. time: the newest groups are the test, the next newest val; group: by lot.

    val and test: shares of the groups, each rounded and at least one group; but 0 is none.
    """
    starts: dict[str, int] = {}
    for row in rows:
        if by == "time" and row.time is None:
            raise ParleyError(
                f"{row.source}: no time, but validate.split is time: set validate.split to group for such a source"
            )
        time = row.time or 0
        starts[row.group] = min(starts.get(row.group, time), time)
    if by == "time":
        order = sorted(starts, key=lambda group: (starts[group], group))
    else:
        order = sorted(starts, key=lambda group: lot(seed, group))
    first_of_test = len(order) - _share(test, len(order))
    first_of_val = first_of_test - _share(val, len(order))
    return {
        group: "train" if place < first_of_val else "val" if place < first_of_test else "test"
        for place, group in enumerate(order)
    }


def _share(fraction: float, groups: int) -> int:
    return max(1, int(fraction * groups + 0.5)) if fraction else 0


def deal(
    rows: Mapping[int, Row], split_of: Mapping[str, Split], *, drop: Callable[[Row, str], None]
) -> tuple[dict[int, Split], dict[Split, set[int]]]:
    """Line number -> split; and for each split the answers that stand in the splits before it.

    A conversation that begins one of an earlier split, or is the same, goes to `drop` with the reason.
    """
    dealt: dict[int, Split] = {}
    said: dict[Split, set[int]] = {}
    earlier: dict[Split, set[int]] = {}
    for split in SPLITS:
        earlier[split] = set().union(*said.values())
        said[split] = set()
        for number, row in rows.items():
            if split_of[row.group] != split:
                continue
            if row.answers and row.answers[-1] in earlier[split]:
                where = next(other for other in said if row.answers[-1] in said[other])
                drop(row, f"leak: also in {where}")
                continue
            dealt[number] = split
            said[split].update(row.answers)
    return dealt, earlier
