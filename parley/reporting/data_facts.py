"""What the walk made of the data, for a page: counts that add up, drops with places, lengths, people, time, splits.

Numbers, pseudonyms and file:line only, no text of a turn. ingest's rejects name raw files, which may be called after
people, so those stand here by their line in data/rejects/ingest.jsonl.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from parley.conversation import Conversation, from_sharegpt
from parley.encoding.examples import token_counts
from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from parley.progress import lines_of, progress
from parley.recipes import flatten
from parley.reporting import curves
from parley.reporting.histograms import binned, calendar, spread
from parley.validation.splits import SPLITS, answers, fingerprint

# The arrows of the walk that count rows: their metrics file, and what a row is.
ARROWS = {
    "ingest": ("ingest.json", "records of the raw files"),
    "convert": ("convert.json", "messages, or conversations that came finished"),
    "validate": ("data.json", "conversations"),
    "encode": ("encode.json", "conversations of train and val; those of test are not trained on"),
}
PLACES = 5  # rows named for each reason
PEOPLE = 20  # rows of the table of authors
DUPLICATES = {
    "duplicate message": "messages that two exports hold",
    "W101": "conversations that are the same as an earlier one",
    "W102": "conversations that are nearly the same",
    "W104": "conversations that stand in an earlier split too",
}


@dataclass(slots=True)
class Drop:
    """Rows that one stage dropped for one reason."""

    stage: str
    code: str
    rows: int
    reason: str = ""  # of the first
    places: list[str] = field(default_factory=list)  # of the first few


@dataclass(slots=True)
class Tally:
    """What the splits hold; counts are length -> how often."""

    turns: Counter[int] = field(default_factory=Counter)
    characters: Counter[int] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    days: Counter[date] = field(default_factory=Counter)
    said: dict[str, Counter[str]] = field(default_factory=dict)  # author -> conversations, answers
    same: dict[str, dict[str, set[Any]]] = field(default_factory=dict)  # what -> split -> hashes


def data_facts(root: Path) -> dict[str, Any]:
    """Everything the page of the data shows."""
    metrics = root / "metrics"
    walk = [(name, walk_figures(metrics, name)) for name in ARROWS]
    found = dict(walk)
    tally = tallied(root)
    tokens = Counter(
        count for split in ("train", "val") for count in token_counts(root / f"data/encoded/{split}.parquet")
    )
    lengths = {
        "Turns of a conversation": tally.turns,
        "Characters of a conversation": tally.characters,
        "Characters of an answer": tally.answers,
        "Tokens of an example (train and val)": tokens,
    }
    dropped = {code: rows for _, figures in walk for code, rows in figures["dropped"]}
    languages = [(name, figures["raw"]["languages"]) for name, figures in walk if figures["raw"].get("languages")]
    return {
        "walk": walk,
        "drops": list(drops(root, found)),
        "lengths": [
            (title, spread(counts), curves.bars(binned(counts))) for title, counts in lengths.items() if counts
        ],
        "people": people(tally),
        "participants": found["convert"]["raw"].get("people"),
        "time": {"first": str(min(tally.days)), "last": str(max(tally.days))} if tally.days else None,
        "calendar": curves.bars(calendar(tally.days)),
        "duplicates": [(said, dropped.get(code, 0)) for code, said in DUPLICATES.items()],
        "redactions": list(found["convert"]["raw"].get("redactions", {}).items()),
        "languages": languages,
        "splits": splits(found["validate"]["raw"].get("splits", {})),
        "overlap": list(overlap(tally)),
    }


def figures(path: Path, *required: str) -> dict[str, Any]:
    """A metrics file; `required` keys must be there, others may come and go with the stages."""
    found = read_json(path)
    missing = [key for key in required if key not in found]
    if missing:
        raise ParleyError(f"{path} has no {', '.join(missing)}: it was not made by this parley; run `dvc repro`")
    found.pop("schema")
    return found


def walk_figures(metrics: Path, name: str) -> dict[str, Any]:
    """What one arrow of the walk took in, gave out and dropped, by reason, and its further figures."""
    file, rows = ARROWS[name]
    found = figures(metrics / file, "in", "out", "dropped")
    known = {key: found.pop(key) for key in ("in", "out", "dropped")}
    dropped = sorted(known["dropped"].items(), key=lambda item: (-item[1], item[0]))
    return {
        **known,
        "dropped": dropped,
        "rows": rows,
        "file": f"metrics/{file}",
        "more": flat(found),
        "raw": found,
    }


def flat(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(dotted key, value as one line) for every leaf of nested figures or params, in their order."""
    return [(key, one_line(value)) for key, value in flatten(values).items()]


def one_line(value: object) -> str:
    """A figure or a setting."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def drops(root: Path, walk: Mapping[str, Mapping[str, Any]]) -> Iterator[Drop]:
    """Each reason of each stage, the most frequent first, with the places of a few rows."""
    for stage, found in walk.items():
        made = {code: Drop(stage, code, rows) for code, rows in found["dropped"]}
        path = root / f"data/rejects/{stage}.jsonl"
        for number, row in rows_of(path):
            drop = made.get(row["code"])
            if drop is None or len(drop.places) == PLACES:
                continue
            raw = stage == "ingest"
            drop.places.append(f"data/rejects/ingest.jsonl:{number}" if raw else row["source"])
            if not (raw and row["code"] == "duplicate message"):  # which names the other file
                drop.reason = drop.reason or row["reason"]
        yield from made.values()


def tallied(root: Path) -> Tally:
    """The three splits, read once."""
    tally = Tally()
    files = {split: root / f"data/splits/{split}.jsonl" for split in SPLITS}
    with progress("report", lines_of(*files.values()), "rows") as bar:
        for split, file in files.items():
            for _, row in bar.over(rows_of(file)):
                count(tally, split, from_sharegpt(row))
    return tally


def count(tally: Tally, split: str, conversation: Conversation) -> None:
    """Adds a conversation of this split."""
    said = [turn for turn in conversation.turns if turn.role == "assistant"]
    tally.turns[len(conversation.turns)] += 1
    tally.characters[sum(len(turn.text) for turn in conversation.turns)] += 1
    tally.answers.update(len(turn.text) for turn in said)
    counts = tally.said.setdefault(conversation.author, Counter())
    counts.update(conversations=1, answers=len(said))
    if conversation.time is not None:
        tally.days[datetime.fromtimestamp(conversation.time / 1000, UTC).date()] += 1
    hashes: dict[str, list[Any]] = {"group": [conversation.group], "conversation": [fingerprint(conversation)]}
    for what, marks in {**hashes, "answer": list(answers(conversation))}.items():
        tally.same.setdefault(what, {}).setdefault(split, set()).update(marks)


def people(tally: Tally) -> list[tuple[str, int, int]]:
    """(pseudonym, conversations, answers) of whom the assistant's turns come from; the last row is the rest."""
    rows = [(name or "(not named)", said["conversations"], said["answers"]) for name, said in tally.said.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    rest = rows[PEOPLE:]
    if rest:
        rows[PEOPLE:] = [(f"{len(rest)} others", sum(row[1] for row in rest), sum(row[2] for row in rest))]
    return rows


def splits(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """(split, conversations, answers, groups, cases) of metrics/data.json."""
    kinds = ("conversations", "answers", "groups", "cases")
    return [(split, *(found[split].get(kind, 0) for kind in kinds)) for split in SPLITS if split in found]


def overlap(tally: Tally) -> Iterator[tuple[str, int, int, int]]:
    """(splits, groups, conversations, answers) that two splits share; an answer with all the turns before it."""
    for one, other in combinations(SPLITS, 2):
        shared = [
            len(tally.same.get(what, {}).get(one, set()) & tally.same.get(what, {}).get(other, set()))
            for what in ("group", "conversation", "answer")
        ]
        yield f"{one} and {other}", shared[0], shared[1], shared[2]
