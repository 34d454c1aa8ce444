"""ingest: raw files of every format → messages and conversations, streamed.

in    ingest.input                                   out   data/interim/{messages,conversations,files}.jsonl,
by    params `ingest`, `runtime`                           data/rejects/ingest.jsonl, metrics/ingest.json
                                                     run   python -m stages.ingest

Messages are grouped by channel and ordered by time; copies of one message from several exports become one.
The order in which a folder lists its files changes no byte.
"""

import contextlib
import gc
import inspect
import multiprocessing
import os
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from parley.conversation import Conversation, Message, SharegptRow, to_sharegpt
from parley.errors import ParleyError
from parley.files import SCHEMA, append_file, publish
from parley.ingestion import reading
from parley.ingestion.aliases import alias, alias_of, without_names
from parley.ingestion.inputs import HOW, files_of, format_of
from parley.ingestion.numbering import checksum, join_rows
from parley.ingestion.reading import Record, Rejected
from parley.ingestion.sorting import Run, join, write_runs
from parley.ingestion.sources import opened
from parley.jsonl import rows_onto, write_jsonl
from parley.params import Section, read_section
from parley.plugins import plugin
from parley.progress import Bar, progress, tracked
from parley.runtime import Runtime
from parley.stage import run, write_counts
from parley.workers import in_order

Add = Callable[[Any], None]

DUPLICATE = "duplicate message"
ROWS, REJECTS = "conversations.jsonl", "rejects.jsonl"  # of one file


class Ingest(Section):
    """Section `ingest`."""

    input: str
    files: str
    format: str
    columns: dict[str, str]
    date_order: Literal["auto", "day_first", "month_first"]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to read."""

    place: Path  # folder for what comes out of it
    path: Path
    name: str
    format: str
    params: Ingest

    @property
    def chat(self) -> bool:
        """Whether the file may be called after people."""
        return bool(getattr(plugin("formats", self.format, key="ingest.format"), "CHATS", False))


@dataclass(slots=True)
class Tally:
    """What was seen in a file, or in all: records, why some were dropped, warnings; and what was written."""

    seen: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    first: str = ""  # reject, for the case that nothing else is found
    runs: list[Run] = field(default_factory=list)
    ids: "array[int]" = field(default_factory=lambda: array("I"))  # checksums of the conversations' ids

    def add(self, other: "Tally") -> None:
        """Adds the counts of another one."""
        self.seen += other.seen
        self.dropped += other.dropped
        self.notices += other.notices
        self.first = self.first or other.first
        self.runs += other.runs
        self.ids += other.ids


def main(root: Path) -> None:
    gc.disable()  # records make no cycles, and looking for some takes a quarter of the time
    try:
        ingest(root)
    finally:
        gc.enable()


def ingest(root: Path) -> None:
    params = read_section(root, "ingest", Ingest)
    workers = read_section(root, "runtime", Runtime).workers
    with publish(root / "data/interim") as out, publish(root / "data/rejects/ingest.jsonl") as rejects:
        out.mkdir()
        scratch, unpacked = out.parent / "runs", out.parent / "unpacked"  # they go with the folder of `publish`
        files = files_of(root, params.input, params.files)
        with named(unpacked):
            jobs = [
                Job(scratch / f"{number:06}", path, name, format_of(path, name, params.format), params)
                for number, (path, name) in enumerate(
                    inner
                    for file in tracked(files, "ingest", len(files), "files")
                    for inner in opened(*file, unpacked, params.columns)
                )
            ]
            parts = list(read_all(jobs, workers))
        tally = Tally()
        for part in parts:
            tally.add(part)
        gather([job.place / REJECTS for job in jobs], rejects)
        join_rows([(job.place / ROWS, part.ids) for job, part in zip(jobs, parts, strict=True)], out / ROWS)
        chats = filter(attrgetter("chat"), jobs)
        write_jsonl(out / "files.jsonl", ({"file": alias_of(job.name), "name": job.name} for job in chats))
        with rows_onto(rejects) as reject:
            messages_out = join(tally.runs, out / "messages.jsonl", scratch, drop=partial(drop_copy, reject, tally))
        if not messages_out and not len(tally.ids):
            raise ParleyError(
                f"{params.input}: no message and no conversation in {len(jobs)} files{tally.first}. {HOW}"
            )
    write_counts(
        root / "metrics/ingest.json",
        rows_in=tally.seen,
        rows_out=messages_out + len(tally.ids),
        dropped=tally.dropped,
        messages=messages_out,
        conversations=len(tally.ids),
        files=dict(sorted(Counter(job.format for job in jobs).items())),
        warnings=dict(sorted(tally.notices.items())),
    )


class Meter:
    """The bar of the bytes that this process and its workers have read."""

    def __init__(self, bar: Bar) -> None:
        self.bar, self.pid = bar, os.getpid()
        self.read = multiprocessing.Value("q", 0)

    def __call__(self, size: int) -> None:
        with self.read.get_lock():
            self.read.value += size
        if os.getpid() == self.pid:
            self.show()

    def show(self) -> None:
        self.bar.advance(self.read.value / 1e6 - self.bar.done)


def read_all(jobs: Sequence[Job], workers: int) -> Iterator[Tally]:
    """What each file held, in their order."""
    with progress("ingest", sum(job.path.stat().st_size for job in jobs) / 1e6, "MB") as bar:
        reading.told = meter = Meter(bar)
        try:
            yield from in_order(read_file, jobs, workers=workers, meanwhile=meter.show)
        finally:
            reading.told = bool


def read_file(job: Job) -> Tally:
    """Reads one file, in whichever process: its runs of messages, rows and rejects lie in `job.place` then."""
    gc.disable()
    tally = Tally()
    job.place.mkdir(parents=True)
    with rows_onto(job.place / ROWS) as add, rows_onto(job.place / REJECTS) as reject:
        told = without_names(reject) if job.chat else reject
        messages = sorted_out(records(job), add, told, tally)
        tally.runs = write_runs(messages, job.place / "runs", drop=partial(drop_copy, reject, tally))
    return tally


def sorted_out(records: Iterable[Record], add: Add, reject: Add, tally: Tally) -> Iterator[Message]:
    """The messages among the records; conversations, rejects and notices go where they belong."""
    messages = rejected = 0
    for record in records:
        if isinstance(record, Message):
            messages += 1
            yield record
        elif isinstance(record, SharegptRow):
            tally.ids.append(checksum(record.id))
            add(record)
        elif isinstance(record, Conversation):
            tally.ids.append(checksum(record.id))
            add({"schema": SCHEMA, **to_sharegpt(record)})
        elif isinstance(record, Rejected):
            rejected += 1
            tally.dropped[record.code] += 1
            tally.first = tally.first or f"; the first reject: {record.source}: {record.code} {record.reason}"
            reject(record)
        else:
            tally.notices[record.text] += 1
            print(f"ingest: {record.source}: {record.text}", file=sys.stderr)
    tally.seen = messages + len(tally.ids) + rejected


def drop_copy(reject: Add, tally: Tally, copy: Message, kept: str) -> None:
    """Counts and lists a copy of a message that stands at `kept`."""
    tally.dropped[DUPLICATE] += 1
    reject(Rejected(alias(copy.source), copy.id, DUPLICATE, f"also at {alias(kept)}"))


def gather(parts: Iterable[Path], target: Path) -> None:
    """Writes one file after another to `target`; some are not there."""
    with target.open("wb") as out:
        for part in filter(Path.exists, parts):
            append_file(part, out)


@contextlib.contextmanager
def named(unpacked: Path) -> Iterator[None]:
    """Errors name a file by its place in the archive that it was unpacked from."""
    try:
        yield
    except ParleyError as error:
        raise ParleyError(str(error).replace(f"{unpacked}/", "")) from None


def records(job: Job) -> Iterator[Record]:
    """What the format reads; it gets those settings that its `read` has a keyword for."""
    read = plugin("formats", job.format, key="ingest.format").read
    known = {"date_order": job.params.date_order, "as_rows": True}
    wanted = inspect.signature(read).parameters
    found: Iterator[Record] = read(job.path, job.name, **{key: known[key] for key in known if key in wanted})
    return found


if __name__ == "__main__":
    run("ingest", main)
