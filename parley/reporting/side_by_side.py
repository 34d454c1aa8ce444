"""Test cases with both models' answers and the judge's verdicts, for a page; and by what a reader may pick some."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.conversation import Turn
from parley.evaluation import Case, Generation, cases_of, generations_of
from parley.jsonl import rows_of

RESULTS = (
    "judge prefers tuned",
    "judge prefers base",
    "tuned expected the person's words more",
    "base expected the person's words more",
    "tuned says what the person said",
    "both say the same",
    "an empty answer",
    "a cut-off answer",
)
MOST_VALUES = 8  # of a label; one with more tells cases apart, not kinds of them


@dataclass(frozen=True, slots=True)
class Sample:
    """One test case."""

    id: str
    of: int  # test cases in all
    earlier: Sequence[Turn]  # before the assistant last spoke
    latest: Sequence[Turn]  # since: what is answered
    reference: Turn
    labels: Mapping[str, Any]  # the recipe's, such as the cell of a trigger's table
    answers: Mapping[str, Generation]  # tuned, base
    verdicts: Mapping[str, Sequence[Mapping[str, Any]]]  # rows of data/eval/verdicts.jsonl

    @property
    def marks(self) -> list[str]:
        """What holds of it, in words by which a reader may pick."""
        tuned, base = self.answers["tuned"], self.answers["base"]
        won = next((row["score"] for row in self.verdicts["tuned"] if row["metric"] == "pairwise"), None)
        closer = sum(tuned.reference_logprobs) - sum(base.reference_logprobs)
        holds = (
            won == 1,
            won == 0,
            closer > 0,
            closer < 0,
            tuned.text.strip() == self.reference.text.strip(),
            tuned.text == base.text,
            not (tuned.text.strip() and base.text.strip()),
            "length" in (tuned.finish, base.finish),
        )
        return [mark for mark, held in zip(RESULTS, holds, strict=True) if held] + [
            f"{key}: {value}" for key, value in self.kinds
        ]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Its labels that are words."""
        return [(key, value) for key, value in sorted(self.labels.items()) if isinstance(value, str) and value]


def filters(found: Sequence[Sample]) -> list[tuple[str, int]]:
    """(mark, samples that have it) of the marks that tell some samples from others."""
    values = Counter(key for key, _ in {kind for sample in found for kind in sample.kinds})
    many = [f"{key}: " for key, count in values.items() if count > MOST_VALUES]
    counts = Counter(mark for sample in found for mark in sample.marks if not mark.startswith(tuple(many)))
    # What came of them first, in the order of `marks`; then the labels by name.
    return [(mark, counts[mark]) for mark in sorted(counts, key=place_of) if counts[mark] < len(found)]


def place_of(mark: str) -> tuple[int, str]:
    """Where a filter stands."""
    return (RESULTS.index(mark), "") if mark in RESULTS else (len(RESULTS), mark)


def samples(evaluated: Path, most: int) -> Iterator[Sample]:
    """Of data/eval: up to `most` test cases, evenly spaced over the file and not chosen by result."""
    cases = [case for case in cases_of(evaluated / "cases.jsonl") if case.split == "test"]
    shown = min(most, len(cases))
    models = {model: generations_of(evaluated / f"{model}.jsonl") for model in ("tuned", "base")}
    verdicts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _, row in rows_of(evaluated / "verdicts.jsonl"):
        verdicts.setdefault((row["id"], row["model"]), []).append(row)
    for place in range(shown):
        case = cases[place * len(cases) // shown]
        earlier, latest = last_turns(case)
        yield Sample(
            case.id,
            len(cases),
            earlier,
            latest,
            case.reference,
            case.labels,
            {model: found[case.id] for model, found in models.items()},
            {model: verdicts.get((case.id, model), []) for model in models},
        )


def last_turns(case: Case) -> tuple[Sequence[Turn], Sequence[Turn]]:
    """The context's turns before and since the assistant last spoke: what is answered comes last."""
    turns = case.context.turns
    start = max((index + 1 for index, turn in enumerate(turns[:-1]) if turn.role == "assistant"), default=0)
    return turns[:start], turns[start:]
