"""Test cases with both models' answers and the judge's verdicts, for a page; and by what a reader may pick some."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.conversation import Turn
from parley.errors import ParleyError
from parley.evaluation import Case, Generation, cases_of, generations_of
from parley.jsonl import rows_of

# What a sample may be marked as, and how the page says it.
MARKS = {
    "nearer": "tuned expected the person's words more",
    "farther": "base expected the person's words more",
    "won": "judge prefers tuned",
    "lost": "judge prefers base",
    "same": "both say the same",
    "empty": "an empty answer",
    "cut": "a cut-off answer",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One test case."""

    id: str
    of: int  # test cases in all
    earlier: Sequence[Turn]  # before the assistant last spoke
    latest: Sequence[Turn]  # since: what is answered
    reference: Turn
    answers: Mapping[str, Generation]  # tuned, base
    verdicts: Mapping[str, Sequence[Mapping[str, Any]]]  # rows of data/eval/verdicts.jsonl

    @property
    def marks(self) -> list[str]:
        """Those of MARKS that hold."""
        tuned, base = self.answers["tuned"], self.answers["base"]
        won = next((row["score"] for row in self.verdicts["tuned"] if row["metric"] == "pairwise"), None)
        closer = sum(tuned.reference_logprobs) - sum(base.reference_logprobs)
        holds = {
            "nearer": closer > 0,
            "farther": closer < 0,
            "won": won == 1,
            "lost": won == 0,
            "same": tuned.text == base.text,
            "empty": not (tuned.text.strip() and base.text.strip()),
            "cut": "length" in (tuned.finish, base.finish),
        }
        return [mark for mark in MARKS if holds[mark]]


def filters(found: Sequence[Sample]) -> list[tuple[str, str, int]]:
    """(mark, what it says, samples that have it) of the marks that tell some samples from others."""
    counts = Counter(mark for sample in found for mark in sample.marks)
    return [(mark, said, counts[mark]) for mark, said in MARKS.items() if 0 < counts[mark] < len(found)]


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
            {model: answer_to(case, found, evaluated / f"{model}.jsonl") for model, found in models.items()},
            {model: verdicts.get((case.id, model), []) for model in models},
        )


def answer_to(case: Case, generations: Mapping[str, Generation], path: Path) -> Generation:
    """One model's answer to a case."""
    if case.id not in generations:
        raise ParleyError(f"{path} has no generation for case {case.id!r}: run `dvc repro`, which makes it again")
    return generations[case.id]


def last_turns(case: Case) -> tuple[Sequence[Turn], Sequence[Turn]]:
    """The context's turns before and since the assistant last spoke: what is answered comes last."""
    turns = case.context.turns
    start = max((index + 1 for index, turn in enumerate(turns[:-1]) if turn.role == "assistant"), default=0)
    return turns[:start], turns[start:]
