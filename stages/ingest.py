"""ingest: raw files of every format → messages and conversations, streamed.

in    ingest.input                                   out   data/interim/{messages,conversations}.jsonl,
by    params `ingest`                                      data/rejects/ingest.jsonl, metrics/ingest.json
                                                     run   python -m stages.ingest

Messages are grouped by channel and ordered by time; copies of one message from several exports become one.
The order in which a folder lists its files changes no byte.
"""

import contextlib
import gc
import hashlib
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Literal

import msgspec

from parley.conversation import Conversation, Message, to_sharegpt
from parley.errors import ParleyError
from parley.files import publish
from parley.json_stream import DECODE_ERRORS, shape_of, why_undecoded
from parley.jsonl import rows_into
from parley.params import Section, read_section
from parley.plugins import plugin, plugin_names
from parley.reading import HEAD, Record, Rejected, head_of, pieces_of
from parley.sorting import Run, join, write_runs
from parley.sources import files_below, opened
from parley.stage import run, write_counts

Add = Callable[[Mapping[str, Any]], None]

HOW = (
    "Put an export there: of Discord by DiscordChatExporter with `--format Json`, of Telegram or WhatsApp, or rows in "
    "ShareGPT, OpenAI or Alpaca format (docs/formats.md has them all). Or set ingest.input to a folder of data/samples"
)
DUPLICATE = "duplicate message"
# Shapes that people come across, and that hold no conversation to learn: what they are, and some of their keys.
FOREIGN = {
    "preference pairs, which need another kind of training": {"chosen", "rejected"},
    "a voice simulation of tau2-bench, audio without messages": {"ticks"},
    "tau-bench's few-shot text, which has lost its tool calls": {"messages_display"},
    "OpenAssistant's trees, in which each branch is a conversation": {"message_tree_id"},
    "ToolBench's search trees": {"tree", "answer_generation"},
    "a SWE-agent run": {"trajectory", "history"},
    "BFCL's questions without answers": {"question", "function"},
    "BFCL's questions of several turns": {"question", "involved_classes"},
    "BFCL's answers without questions": {"ground_truth"},
    "an index of tau2-bench's runs, which are in other files": {"info", "tasks", "timestamp"},
    "tau2-bench's tasks, which are no runs": {"user_scenario", "evaluation_criteria"},
    "Simia's tools, which go with runs": {"tools_config_1"},
    "OpenAssistant's single messages": {"message_id", "parent_id"},
    "Anthropic's statements to agree with, without {{name}}": {"statement", "answer_matching_behavior"},
    "texts with marked spans": {"full_text", "spans"},
}


class Ingest(Section):
    """Section `ingest`."""

    input: str
    files: str
    format: str
    columns: dict[str, str]
    date_order: Literal["auto", "day_first", "month_first"]


@dataclass(slots=True)
class Tally:
    """What was seen: files by format, records, why some were dropped, warnings."""

    seen: int = 0
    conversations: int = 0
    files: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    first: str = ""  # reject, for the case that nothing else is found
    ids: set[bytes] = field(default_factory=set)  # of conversations, hashed


def main(root: Path) -> None:
    gc.disable()  # records make no cycles, and looking for some takes a quarter of the time
    try:
        ingest(root)
    finally:
        gc.enable()


def ingest(root: Path) -> None:
    params = read_section(root, "ingest", Ingest)
    tally = Tally()
    with publish(root / "data/interim") as out, rows_into(root / "data/rejects/ingest.jsonl") as reject:
        out.mkdir()
        scratch, unpacked = out.parent / "runs", out.parent / "unpacked"  # they go with the folder of `publish`

        def drop_copy(copy: Message, kept: str) -> None:
            tally.dropped[DUPLICATE] += 1
            reject({"source": copy.source, "id": copy.id, "code": DUPLICATE, "reason": f"also at {kept}"})

        runs: list[Run] = []
        with rows_into(out / "conversations.jsonl") as add, named(unpacked):
            files = [
                (path, name, format_of(path, name, params.format))
                for file in files_of(root, params.input, params.files)
                for path, name in opened(*file, unpacked, params.columns)
            ]
            for number, (path, name, module) in enumerate(files):
                tally.files[module.__name__.rpartition(".")[2]] += 1
                messages = sorted_out(records(module, path, name, params), add, reject, tally)
                runs += write_runs(messages, scratch / f"{number:06}", drop=drop_copy)
        messages_out = join(runs, out / "messages.jsonl", scratch, drop=drop_copy)
        if not messages_out and not tally.conversations:
            raise ParleyError(
                f"{params.input}: no message and no conversation in {len(files)} files{tally.first}. {HOW}"
            )
    write_counts(
        root / "metrics/ingest.json",
        rows_in=tally.seen,
        rows_out=messages_out + tally.conversations,
        dropped=tally.dropped,
        messages=messages_out,
        conversations=tally.conversations,
        files=dict(sorted(tally.files.items())),
        warnings=dict(sorted(tally.notices.items())),
    )


def sorted_out(records: Iterable[Record], add: Add, reject: Add, tally: Tally) -> Iterator[Message]:
    """The messages among the records; conversations, rejects and notices go where they belong."""
    for record in records:
        if isinstance(record, Message):
            tally.seen += 1
            yield record
        elif isinstance(record, Conversation):
            tally.seen += 1
            tally.conversations += 1
            add(to_sharegpt(with_unique_id(record, tally.ids)))
        elif isinstance(record, Rejected):
            tally.seen += 1
            tally.dropped[record.code] += 1
            tally.first = tally.first or f"; the first reject: {record.source}: {record.code} {record.reason}"
            reject(asdict(record))
        else:
            tally.notices[record.text] += 1
            print(f"ingest: {record.source}: {record.text}", file=sys.stderr)


def with_unique_id(conversation: Conversation, taken: set[bytes]) -> Conversation:
    """The conversation, a number after its id if another one has that id. Takes about 60 bytes of memory a row."""
    id, number = conversation.id, 1
    while (digest := hashlib.blake2b(id.encode(), digest_size=8).digest()) in taken:
        number += 1
        id = f"{conversation.id}-{number}"
    taken.add(digest)
    group = id if conversation.group == conversation.id else conversation.group
    return conversation if number == 1 else replace(conversation, id=id, group=group)


@contextlib.contextmanager
def named(unpacked: Path) -> Iterator[None]:
    """Errors name a file by its place in the archive that it was unpacked from."""
    try:
        yield
    except ParleyError as error:
        raise ParleyError(str(error).replace(f"{unpacked}/", "")) from None


def records(module: ModuleType, path: Path, name: str, params: Ingest) -> Iterator[Record]:
    """What the format reads; it gets those settings that its `read` has a keyword for."""
    wanted = inspect.signature(module.read).parameters
    settings = {key: value for key, value in params.model_dump(include={"date_order"}).items() if key in wanted}
    found: Iterator[Record] = module.read(path, name, **settings)
    return found


def files_of(root: Path, chosen: str, pattern: str = "*") -> list[tuple[Path, str]]:
    """(path, name) of every file to read, sorted by name: its path below the chosen folder, or just its name."""
    top = root / chosen
    if top.is_file():
        return [(top, top.name)]
    if not top.is_dir():
        raise ParleyError(f"{chosen}: no such file or folder (ingest.input). {HOW}")
    # DVC may link what it tracks into its cache.
    below = files_below(top, links_into=(top, root / ".dvc/cache"))
    found = [(path, name) for path, name in below if PurePosixPath(name).match(pattern)]
    if not found:
        raise ParleyError(f"{chosen}: no file to read{'' if pattern == '*' else f' called {pattern}'}. {HOW}")
    return found


def format_of(path: Path, name: str, chosen: str) -> ModuleType:
    """The plug-in that reads the file: the chosen one, or under `auto` the only one that recognises it."""
    head = head_of(path)
    if not head.strip():
        raise ParleyError(f"{path}: empty. Remove it, or export it again")
    if chosen != "auto":
        return plugin("formats", chosen, key="ingest.format")
    names = plugin_names("formats")
    modules = [plugin("formats", known, key="ingest.format") for known in names]
    found = [module for module in modules if module.recognises(head, name)]
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(module.__name__.rpartition(".")[2] for module in found)
        raise ParleyError(f"{path}: could be {several}: set ingest.format to one of them")
    raise ParleyError(
        f"{path}: {described(path, head)}. That is none of {', '.join(names)}: convert it, or move it away"
    )


def described(path: Path, head: bytes) -> str:
    """What a file that no format recognises looks like: what breaks it, or its first record's keys, never a value."""
    if head.lstrip()[:1] in (b"[", b"{") and path.stat().st_size <= HEAD:
        whole = b"".join(pieces_of(path))
        if not (is_json(whole) or is_json(whole.split(b"\n")[0])):  # one document, or one a line
            return " ".join(why_undecoded(whole))
    shape = shape_of(head)
    keys = sorted(key for key in shape if "." not in key)
    start = head.lstrip()[:1]
    if keys and start in (b"[", b"{"):
        kind = next((f" ({kind})" for kind, known in FOREIGN.items() if known <= shape), "")
        return f"its first record has the keys {', '.join(keys[:12])}{kind}"
    return "a JSON list without records" if start == b"[" else "no JSON object" if start != b"{" else "an empty object"


def is_json(document: bytes) -> bool:
    """Whether the bytes are one whole JSON value."""
    try:
        msgspec.json.decode(document)
    except DECODE_ERRORS:
        return False
    return True


if __name__ == "__main__":
    run("ingest", main)
