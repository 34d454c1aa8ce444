"""Messages in order, whatever their number: sorted runs on disk, joined where they don't overlap, else merged.

    files ─write_runs→ runs, each ascending by (channel, id) ─join→ one file, without the copies that re-exports bring

Exports are nearly in order, so a file is one run or a few, and joining is copying. A reversed export is many runs
that don't overlap. Ids ascend with time in every chat program we read; where they don't, a second pass sorts by time.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count, islice, pairwise
from operator import le, lt
from pathlib import Path
from typing import IO, Any

import msgspec

from parley.conversation import Message
from parley.files import append_file

BATCH = 128  # messages held in memory to be sorted; few, so that their memory is used again while it is in the cache
MAX_BATCH = 4096  # the same where they come in no order: fewer runs
FAN_IN = 64  # runs merged at once

Key = tuple[str, int, str] | tuple[str, int, int, str]
KeyOf = Callable[[Message], Key]
Drop = Callable[[Message, str], None]  # told the copy that is dropped, and the source of the one that stays

_encode_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(Message).decode


@dataclass(frozen=True, slots=True)
class Run:
    """A file of messages whose keys ascend strictly."""

    path: Path
    first: Key
    last: Key
    first_time: tuple[str, int]  # channel and time of the first message
    last_time: tuple[str, int]
    in_time: bool  # whether (channel, time) never falls
    messages: int


def by_id(message: Message) -> Key:
    """Channel, then id as a number if it is one: the shorter of two numbers is the smaller."""
    return (message.channel, len(message.id), message.id)


def by_time(message: Message) -> Key:
    """Channel, then time; messages of one millisecond by id."""
    return (message.channel, message.time, len(message.id), message.id)


def write_runs(messages: Iterable[Message], folder: Path, *, drop: Drop, key: KeyOf = by_id) -> list[Run]:
    """The messages as runs, files in `folder`. Of messages with one key the copy exported last stays."""
    rest = iter(messages)
    size = BATCH
    with closing(_Writer(folder, key)) as writer:
        while batch := list(islice(rest, size)):
            runs = len(writer.runs)
            writer.write(_ascending(batch, key, drop))
            size = BATCH if len(writer.runs) == runs else min(2 * size, MAX_BATCH)
    return writer.runs


def join(runs: list[Run], target: Path, scratch: Path, *, drop: Drop) -> int:
    """Writes the messages of all runs to `target` by channel, time and id, and uses the runs up; their number."""
    whole = _joined(runs, target, scratch, drop, by_id)
    if whole and not whole.in_time:
        again = write_runs(_messages_of(target), scratch / "by_time", drop=drop, key=by_time)
        whole = _joined(again, target, scratch, drop, by_time)
    if not whole:
        target.touch()
    return whole.messages if whole else 0


def _joined(runs: list[Run], target: Path, scratch: Path, drop: Drop, key: KeyOf) -> Run | None:
    """All runs as the one run `target`; None when there are none."""
    parts = [_merged(cluster, scratch / f"merged-{n}", drop, key) for n, cluster in enumerate(_clusters(runs))]
    if not parts:
        return None
    first, last = parts[0], parts[-1]
    in_time = all(part.in_time for part in parts) and all(a.last_time <= b.first_time for a, b in pairwise(parts))
    with first.path.open("r+b") as out:
        for part in parts[1:]:
            append_file(part.path, out)
            part.path.unlink()
    first.path.replace(target)
    messages = sum(part.messages for part in parts)
    return Run(target, first.first, last.last, first.first_time, last.last_time, in_time, messages)


def _clusters(runs: list[Run]) -> Iterator[list[Run]]:
    """The runs in order, those that overlap together."""
    cluster: list[Run] = []
    end: Key | None = None
    for run in sorted(runs, key=lambda run: (run.first, run.last, run.path)):
        if end is not None and run.first > end:
            yield cluster
            cluster, end = [], None
        cluster.append(run)
        end = run.last if end is None else max(end, run.last)
    if cluster:
        yield cluster


def _merged(runs: list[Run], folder: Path, drop: Drop, key: KeyOf) -> Run:
    """Overlapping runs as one."""
    for level in count():
        if len(runs) == 1:
            return runs[0]
        some, rest = runs[:FAN_IN], runs[FAN_IN:]
        messages = _unique(heapq.merge(*(_messages_of(run.path) for run in some), key=key), key, drop)
        with closing(_Writer(folder / str(level), key)) as writer:
            while batch := list(islice(messages, BATCH)):
                writer.write(batch)
        for run in some:
            run.path.unlink()
        runs = [*rest, *writer.runs]
    raise AssertionError("unreachable")


def _ascending(batch: list[Message], key: KeyOf, drop: Drop) -> list[Message]:
    """The batch sorted, each key once."""
    if _ascends(batch, key):
        return batch
    return list(_unique(sorted(batch, key=key), key, drop))


def _ascends(batch: list[Message], key: KeyOf) -> bool:
    """Whether the batch is sorted, each key once."""
    keys: list[Any] = [message.id for message in batch]
    if key is not by_id or len({message.channel for message in batch}) > 1 or len(set(map(len, keys))) > 1:
        keys = [key(message) for message in batch]  # rarely, and several times as long
    return all(map(lt, keys, keys[1:]))


def _unique(messages: Iterable[Message], key: KeyOf, drop: Drop) -> Iterator[Message]:
    """Of neighbours with one key the copy that was exported last; among equals the one of the first source."""
    kept = None
    for message in messages:
        if kept is None or key(message) != key(kept):
            if kept is not None:
                yield kept
            kept = message
            continue
        better = (-message.exported, message.source) < (-kept.exported, kept.source)
        kept, copy = (message, kept) if better else (kept, message)
        drop(copy, kept.source)
    if kept is not None:
        yield kept


def _messages_of(path: Path) -> Iterator[Message]:
    with path.open("rb") as file:
        for line in file:
            yield _decode(line)


class _Writer:
    """Writes ascending batches to a run, and begins another run where the key falls."""

    def __init__(self, folder: Path, key: KeyOf) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = key
        self._file: IO[bytes] | None = None  # of the last run
        self.runs: list[Run] = []

    def close(self) -> None:
        """Ends the last run."""
        if self._file:
            self._file.close()

    def write(self, batch: list[Message]) -> None:
        """Appends a batch, which is not empty."""
        first, last = batch[0], batch[-1]
        keys: list[Any] = [message.time for message in batch]
        if first.channel != last.channel:
            keys = [(message.channel, message.time) for message in batch]
        in_time = all(map(le, keys, keys[1:]))
        times = (first.channel, first.time), (last.channel, last.time)
        part = Run(Path(), self._key(first), self._key(last), *times, in_time, len(batch))
        run = self.runs[-1] if self.runs and self.runs[-1].last < part.first else None
        path = run.path if run else self._folder / f"{len(self.runs):06}.jsonl"
        if not (run and self._file):
            self.close()
            self._file = path.open("ab")
        self._file.write(_encode_lines(batch))
        if run:
            in_time = run.in_time and part.in_time and run.last_time <= part.first_time
            messages = run.messages + part.messages
            self.runs[-1] = Run(path, run.first, part.last, run.first_time, part.last_time, in_time, messages)
        else:
            self.runs.append(replace(part, path=path))
