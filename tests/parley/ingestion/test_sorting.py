"""The merge on disk gives what a dictionary and a sort give, however the messages are spread over files."""

import random
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.conversation import Message
from parley.ingestion import sorting


def message(channel: str, id: str, time: int, exported: int, source: str) -> Message:
    return Message(channel, id, time, "a", ("Ann",), f"text of {source}", source, exported=exported)


copies = st.tuples(st.sampled_from("xy"), st.integers(1, 120), st.integers(0, 3), st.integers(0, 2))


def merged(files: list[list[Message]]) -> tuple[list[Message], list[tuple[str, str]]]:
    dropped: list[tuple[str, str]] = []

    def drop(copy: Message, kept: str) -> None:
        dropped.append((copy.source, kept))

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        runs = []
        for number, file in enumerate(files):
            runs += sorting.write_runs(file, scratch / str(number), drop=drop)
        target = Path(folder) / "messages.jsonl"
        count = sorting.join(runs, target, scratch, drop=drop)
        rows = [msgspec.json.decode(line) for line in target.read_bytes().splitlines()]
    assert all(row.pop("schema") == 1 for row in rows)
    found = [msgspec.convert(row, Message) for row in rows]
    assert count == len(found)
    return found, dropped


@given(st.lists(copies, max_size=60), st.integers(1, 4), st.integers(0, 3), st.booleans(), st.randoms())
@settings(max_examples=100)
def test_merge_is_by_channel_time_and_id_and_keeps_the_latest_copy(
    drawn: list[tuple[str, int, int, int]], files: int, jitter: int, reverse: bool, shuffler: random.Random
) -> None:
    messages = [
        message(channel, str(id), id // 5 - late * jitter, exported, f"f:{number}")
        for number, (channel, id, late, exported) in enumerate(drawn)
    ]
    messages.sort(key=lambda one: int(one.id), reverse=reverse)
    spread: list[list[Message]] = [[] for _ in range(files)]
    for one in messages:
        spread[shuffler.randrange(files)].append(one)
    expected: dict[tuple[str, str], Message] = {}
    for one in messages:
        other = expected.get((one.channel, one.id))
        if other is None or (-one.exported, one.source) < (-other.exported, other.source):
            expected[one.channel, one.id] = one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "BATCH", 4)
        patch.setattr(sorting, "MAX_BATCH", 8)
        patch.setattr(sorting, "FAN_IN", 2)
        found, dropped = merged(spread)
    assert found == sorted(expected.values(), key=lambda one: (one.channel, one.time, int(one.id)))
    assert len(found) + len(dropped) == len(messages)


def test_a_reversed_export_is_read_without_a_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "BATCH", 10)
    monkeypatch.setattr(sorting.heapq, "merge", None)
    found, dropped = merged([[message("c", str(n), n, 0, f"f:{n}") for n in range(99, 0, -1)]])
    assert [one.id for one in found] == [str(n) for n in range(1, 100)]
    assert dropped == []


def test_no_messages_are_an_empty_file() -> None:
    assert merged([]) == ([], [])
    assert merged([[], []]) == ([], [])
