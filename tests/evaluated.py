"""data/eval of a run, from cases and generations made by hand."""

from collections.abc import Iterable
from pathlib import Path

from parley.evaluation import Case, Generation, case_row, generation_row
from parley.jsonl import write_jsonl


def lay_answers(root: Path, cases: Iterable[Case], **models: Iterable[Generation]) -> None:
    """The test cases, and what each model named wrote for them."""
    write_jsonl(root / "data/eval/cases.jsonl", map(case_row, cases))
    for model, made in models.items():
        write_jsonl(root / f"data/eval/{model}.jsonl", map(generation_row, made))
