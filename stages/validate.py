"""validate: every row checked, duplicates dropped, whole groups dealt to train, val and test; the test cases.

in    data/sharegpt/conversations.jsonl, data/quality.jsonl, metrics/ingest.json
out   data/splits/{train,val,test}.jsonl, data/eval/cases.jsonl, data/rejects/validate.jsonl, metrics/data.json
by    params `validate`, `seed`      run   python -m stages.validate

The file is read twice; in between, memory holds hashes and ids, never the conversations.
"""

import contextlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from parley.conversation import Conversation, from_sharegpt, to_sharegpt
from parley.errors import ParleyError, near_misses
from parley.evaluation import Case, case_row
from parley.files import read_json
from parley.jsonl import rows_into, rows_of, write_jsonl
from parley.params import Section, read_section, read_value
from parley.plugins import plugin
from parley.progress import lines_of, tracked
from parley.stage import run, write_counts
from parley.validation.checks import Profile, control_tokens, findings
from parley.validation.near import Near
from parley.validation.quality import FILE, read_quality
from parley.validation.splits import (
    SPLITS,
    GroupBy,
    Row,
    Split,
    answers,
    deal,
    fingerprint,
    lot,
    row_of,
    split_groups,
    words,
)

NO_FAULT = ("W101", "low_quality", "duplicate message")  # drops that are no sign of broken data


class Validate(Section):
    """Section `validate`."""

    max_reject_ratio: float = Field(ge=0, le=1)
    strict: bool
    profile: Profile
    near_duplicates: float = Field(ge=0.5, le=1)
    min_quality: int = Field(ge=0, le=5)
    max_samples: int = Field(ge=0)
    test_file: str
    split: Literal["time", "group"]
    group_by: GroupBy
    val_fraction: float = Field(gt=0, lt=0.5)
    test_fraction: float = Field(gt=0, lt=0.5)
    min_split: int = Field(ge=1)
    cases: str
    max_cases: int = Field(ge=1, le=10_000)


@dataclass(slots=True)
class Tally:
    """What the checks count, and where rejects go."""

    reject: Callable[[Mapping[str, Any]], None]
    rows_in: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    control_tokens: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)  # with and without a score, when there is a threshold

    def drop(self, code: str, row: Row, reason: str) -> None:
        """Counts and lists a row that goes no further."""
        self.dropped[code] += 1
        self.reject({"source": row.source, "id": row.id, "code": code, "reason": reason})


def main(root: Path) -> None:
    params = read_section(root, "validate", Validate)
    seed = read_value(root, "seed", int)
    make = plugin("cases", params.cases, key="validate.cases").make
    path = root / "data/sharegpt/conversations.jsonl"
    problem = None
    read = read_json(root / "metrics/ingest.json")
    refuse("ingest", read["dropped"], read["in"], params.max_reject_ratio)
    with rows_into(root / "data/rejects/validate.jsonl") as reject:
        tally = Tally(reject)
        try:
            quality = read_quality(root / FILE) if params.min_quality else {}
            kept = drawn(check(path, quality, params, tally), params.max_samples, seed, tally)
            split_of = split_by(params, kept.values(), seed)
            dealt, earlier = deal(kept, split_of, drop=partial(tally.drop, "W104"))
            enough(dealt, kept, params)
        except ParleyError as error:
            problem = error  # raised below, once the rejects that explain it are on disk
    if problem:
        raise problem
    chosen = Cases(make, earlier, limit=params.max_cases, seed=seed)
    write_splits(root, path, dealt, chosen)
    write_jsonl(root / "data/eval/cases.jsonl", map(case_row, chosen.rows()))
    write_counts(
        root / "metrics/data.json",
        rows_in=tally.rows_in,
        rows_out=len(dealt),
        dropped=tally.dropped,
        warnings=dict(tally.warnings),
        control_tokens=dict(tally.control_tokens),
        **({"quality": dict(tally.judged)} if tally.judged else {}),
        splits={split: figures(split, kept, dealt, chosen) for split in SPLITS},
    )


def check(path: Path, quality: Mapping[bytes, int], params: Validate, tally: Tally) -> dict[int, Row]:
    """Line number -> what passed. Rejects what fails a check, says the same as an earlier row, or is of low quality.

    Raises ParleyError when too much is rejected or nothing is left.
    """
    kept: dict[int, Row] = {}
    near = Near(params.near_duplicates)
    first_of: dict[bytes, str] = {}  # hash of a whole row -> id of the first that has it
    for number, row in tracked(rows_of(path), "validate", lines_of(path), "conversations"):
        tally.rows_in += 1
        source = row.get("source") or f"data/sharegpt/conversations.jsonl:{number}"
        found = findings(row, params.profile)
        fatal = [finding for finding in found if params.strict or finding.rejects(params.profile)]
        if fatal:
            tally.drop(fatal[0].code, Row(row.get("id", ""), source, "", None, ()), fatal[0].reason)
            continue
        conversation = conversation_of(row)
        entry, mark = row_of(conversation, source, params.group_by), fingerprint(conversation)
        first = first_of.setdefault(mark, conversation.id)
        if first != conversation.id:
            tally.drop("W101", entry, f"duplicate of {first}")
            continue
        if params.min_quality:
            tally.judged["scored" if mark in quality else "unscored"] += 1
            if quality.get(mark, params.min_quality) < params.min_quality:
                reason = f"the judge's score is {quality[mark]}, below validate.min_quality {params.min_quality}"
                tally.drop("low_quality", entry, reason)
                continue
        tally.warnings.update({finding.code for finding in found})
        tally.control_tokens.update(control_tokens(row))
        kept[number] = entry
        if params.near_duplicates < 1:
            near.add(words(conversation))
    refuse("validate", tally.dropped, tally.rows_in, params.max_reject_ratio)
    if not kept:
        why = "; lower validate.min_quality" if tally.dropped["low_quality"] else ""
        raise ParleyError(f"no conversation left of {tally.rows_in} rows: data/rejects/validate.jsonl says why{why}")
    numbers = list(kept)
    for place, (like, alike) in near.duplicates().items():  # which is never a dropped one itself
        reason = f"near duplicate of {kept[numbers[like]].id} (J={alike:.2f})"
        tally.drop("W102", kept.pop(numbers[place]), reason)
    return kept


def refuse(stage: str, dropped: Mapping[str, int], rows_in: int, ratio: float) -> None:
    """Raises ParleyError when more than this share of a stage's rows failed a check."""
    failed = {code: count for code, count in dropped.items() if code not in NO_FAULT}
    if sum(failed.values()) > ratio * rows_in:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(failed.items()))
        raise ParleyError(
            f"{sum(failed.values())} of {rows_in} rows are rejected by {stage} ({codes}), more than "
            f"validate.max_reject_ratio {ratio} allows: mend them as data/rejects/{stage}.jsonl says, or raise it"
        )


def drawn(kept: dict[int, Row], limit: int, seed: int, tally: Tally) -> dict[int, Row]:
    """The rows with the smallest lots, at most `limit`; 0 is all."""
    if not limit or len(kept) <= limit:
        return kept
    order = sorted(kept, key=lambda number: lot(seed, kept[number].id))
    for number in sorted(order[limit:]):
        tally.drop("max_samples", kept[number], f"not drawn: validate.max_samples is {limit}")
    return {number: kept[number] for number in sorted(order[:limit])}


def split_by(params: Validate, rows: Collection[Row], seed: int) -> dict[str, Split]:
    """Group -> split, by the parameters; the groups of a given test file are the test.

    Raises ParleyError when no row comes from that file.
    """
    files = {row.source: row.source.rpartition(":")[0] for row in rows}
    given = {row.group for row in rows if params.test_file and files[row.source] == params.test_file}
    if params.test_file and not given:
        known = sorted(set(files.values()))
        drawn = " that validate.max_samples has drawn" if params.max_samples else ""
        raise ParleyError(
            f"params.yaml: validate.test_file: no conversation{drawn} comes from {params.test_file!r}"
            f"{near_misses(params.test_file, known)}; it is a file below ingest.input, as a row's `source` names it"
        )
    others = [row for row in rows if row.group not in given]
    shares = {"val": params.val_fraction, "test": 0.0 if given else params.test_fraction}
    return split_groups(others, by=params.split, seed=seed, **shares) | dict.fromkeys(given, "test")


def conversation_of(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a sound row: a leading system turn is its system prompt, a row without group is one."""
    conversation = from_sharegpt(row)
    conversation = replace(conversation, group=conversation.group or conversation.id)
    first, *rest = conversation.turns
    return replace(conversation, system=first.text, turns=tuple(rest)) if first.role == "system" else conversation


def enough(dealt: Mapping[int, Split], kept: Mapping[int, Row], params: Validate) -> None:
    """Raises ParleyError when a split has fewer conversations than it needs."""
    sizes = Counter(dealt.values())
    short = [f"{split} gets {sizes[split]}" for split in SPLITS if sizes[split] < params.min_split]
    if short:
        groups = len({kept[number].group for number in dealt})
        unit, held = "conversations", ""
        if groups < len(dealt):
            unit, held = "groups", f" in {groups} groups" if groups > 1 else " in one group"
        # By the shares asked for, and by what came of them: a group may be small, and what leaked is gone.
        came = (min(sizes[split] for split in SPLITS) + 0.5) / groups
        least = math.ceil(params.min_split / min(params.val_fraction, params.test_fraction, came))
        raise ParleyError(
            f"too small to split: of {len(dealt)} conversations{held} {', '.join(short)}, and validate.min_split asks "
            f"for {params.min_split} each. About {least} {unit} would do: add data, raise validate.val_fraction and "
            "validate.test_fraction, or lower validate.min_split"
        )


class Cases:
    """The test cases of the held-out splits: of each split those with the smallest lots, in the file's order."""

    def __init__(
        self, make: Callable[..., list[Case]], earlier: Mapping[Split, set[int]], *, limit: int, seed: int
    ) -> None:
        self._make, self._earlier, self._limit, self._seed = make, earlier, limit, seed
        self._heaps: dict[Split, list[tuple[int, int, Case]]] = {split: [] for split in SPLITS}
        self._order = 0
        self.leaked: Counter[str] = Counter()

    def take(self, conversation: Conversation, split: Split) -> None:
        """Draws for the conversation's cases; one that an earlier split answers word for word is left out."""
        for case in self._make(conversation, split):
            asked = replace(case.context, turns=(*case.context.turns, case.reference))
            if list(answers(asked))[-1] in self._earlier[split]:
                self.leaked[split] += 1
                continue
            self._order += 1
            place = -int.from_bytes(lot(self._seed, case.id), "big")  # a heap's first is its smallest
            heapq.heappush(self._heaps[split], (place, self._order, case))
            if len(self._heaps[split]) > self._limit:
                heapq.heappop(self._heaps[split])

    def rows(self, *splits: Split) -> list[Case]:
        """The chosen cases of the splits (all by default), val before test."""
        heaps = [sorted(self._heaps[split], key=lambda entry: entry[1]) for split in splits or SPLITS]
        return [case for heap in heaps for _, _, case in heap]


def write_splits(root: Path, path: Path, dealt: Mapping[int, Split], chosen: Cases) -> None:
    """data/splits, each in the file's order; the held-out conversations draw for test cases."""
    with contextlib.ExitStack() as stack:
        add = {split: stack.enter_context(rows_into(root / f"data/splits/{split}.jsonl")) for split in SPLITS}
        for number, row in rows_of(path):
            if number not in dealt:
                continue
            conversation, split = conversation_of(row), dealt[number]
            add[split](to_sharegpt(conversation))
            if split != "train":
                chosen.take(conversation, split)


def figures(split: Split, kept: Mapping[int, Row], dealt: Mapping[int, Split], chosen: Cases) -> dict[str, Any]:
    """What metrics/data.json says of one split; times are milliseconds since 1970."""
    rows = [kept[number] for number in dealt if dealt[number] == split]
    times = [row.time for row in rows if row.time is not None]
    return {
        "conversations": len(rows),
        "answers": sum(len(row.answers) for row in rows),
        "groups": len({row.group for row in rows}),
        "cases": len(chosen.rows(split)),
        "leaked_cases": chosen.leaked[split],
        "first_time": min(times, default=None),
        "last_time": max(times, default=None),
    }


if __name__ == "__main__":
    run("validate", main)
