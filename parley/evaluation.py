"""The scoring end of the walk: test cases, what a model wrote for them, and the scores of that.

A row of data/eval/cases.jsonl; `context` is a ShareGPT row that ends before the answer:

    {"schema": 1, "id": "c42-3#5", "split": "test", "context": {"conversations": [...], ...},
     "reference": {"from": "gpt", "value": "hello"}, "labels": {}}

A row of data/eval/base.jsonl and tuned.jsonl:

    {"schema": 1, "id": "c42-3#5", "text": "hello", "finish": "stop", "tokens": 3,
     "reference_logprobs": [-0.2, -1.1, -0.1], "probabilities": {}}
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from parley.conversation import Conversation, Turn, from_sharegpt, to_sharegpt
from parley.errors import ParleyError
from parley.files import read_json, sha256_file
from parley.jsonl import rows_of

Finish = Literal[
    "stop",  # the model ended its turn
    "length",  # generate.max_new_tokens was reached: truncated
    "none",  # the case asks for no answer
]


@dataclass(frozen=True, slots=True)
class Case:
    """A held-out prompt and its expected answer."""

    id: str  # conversation id, "#", index of the answered turn
    split: Literal["val", "test"]
    context: Conversation  # the turns before the answer
    reference: Turn  # what the person really wrote
    labels: Mapping[str, Any] = field(default_factory=dict)  # what the recipe's metrics need to know of the case

    @property
    def group(self) -> str:
        """What intervals resample: the conversation's group, or the conversation itself."""
        return self.context.group or self.context.id

    @property
    def asks(self) -> bool:
        """Whether the model is to answer; else its probabilities for a turn of the user are all that is looked at."""
        return self.reference.role == "assistant"


@dataclass(frozen=True, slots=True)
class Generation:
    """What one model did with one case."""

    id: str  # the case's
    text: str  # without end token
    finish: Finish
    tokens: int  # generated, end token included
    reference_logprobs: tuple[float, ...]  # nats, of each reference token given all before it, end token included
    probabilities: Mapping[str, float] = field(default_factory=dict)  # named by the recipe, for its metrics

    def surprise(self) -> "Score | Unscored":
        """Mean nats a token of the reference; the weight is its tokens."""
        tokens = len(self.reference_logprobs)
        if not tokens:
            return Unscored("no log-probabilities of the reference")
        return Score(-sum(self.reference_logprobs) / tokens, weight=tokens)


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value on one case. Over cases: sum(value * weight) / sum(weight)."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Unscored:
    """No valid score; never counted as 0."""

    reason: str  # short and without text of a turn, such as "empty reference"


def case_at(conversation: Conversation, place: int, split: Literal["val", "test"]) -> Case:
    """The case that asks for the turn at `place`, given all the turns before it, with the conversation's labels."""
    context = replace(conversation, turns=conversation.turns[:place])
    return Case(f"{conversation.id}#{place}", split, context, conversation.turns[place], conversation.labels)


def case_row(case: Case) -> dict[str, Any]:
    """The row of data/eval/cases.jsonl; `cases_of` gives the case back."""
    reference = to_sharegpt(Conversation(case.id, (case.reference,)))["conversations"][0]
    return {
        "id": case.id,
        "split": case.split,
        "context": to_sharegpt(case.context),
        "reference": reference,
        "labels": dict(case.labels),
    }


def cases_of(path: Path) -> Iterator[Case]:
    """The cases of a file that validate wrote, in its order."""
    for _, row in rows_of(path):
        answer = from_sharegpt({**row["context"], "conversations": [row["reference"]]})
        yield Case(row["id"], row["split"], from_sharegpt(row["context"]), answer.turns[0], row["labels"])


def generation_row(generation: Generation) -> dict[str, Any]:
    """The row of data/eval/<model>.jsonl; `generations_of` gives it back."""
    return asdict(generation)


def generations_of(path: Path) -> dict[str, Generation]:
    """Case id -> generation, for every case of the file."""
    found = {}
    for _, row in rows_of(path):
        row.pop("schema")
        found[row["id"]] = Generation(**{**row, "reference_logprobs": tuple(row["reference_logprobs"])})
    return found


def generations_for(path: Path, cases: list[Case]) -> dict[str, Generation]:
    """Case id -> generation; exactly one for each case, or the two files come from different runs."""
    generations = generations_of(path)
    wanted = {case.id for case in cases}
    missing, strange = sorted(wanted - generations.keys()), sorted(generations.keys() - wanted)
    if missing or strange:
        first = f"none for {missing[0]!r}" if missing else f"one for {strange[0]!r}, which is no case"
        raise ParleyError(
            f"{path}: {len(missing)} of {len(cases)} cases have no generation and {len(strange)} generations "
            f"no case (first: {first}): the file belongs to other cases; make it again with `dvc repro`"
        )
    return generations


def made_of(evaluated: Path) -> dict[str, str]:
    """The sha256 of each file of data/eval that figures are made of, as scores.json and judge.json record it."""
    files = {name: evaluated / f"{name}.jsonl" for name in ("cases", "tuned", "base")}
    return {name: sha256_file(path) for name, path in files.items() if path.is_file()}


def of_one_run(figures: Path, evaluated: Path) -> None:
    """Raises ParleyError where a file of figures was made of other answers than those that lie in data/eval."""
    found = made_of(evaluated)
    recorded = read_json(figures).get("made_of", found)  # a judge that was not asked has looked at nothing
    other = [f"{name}.jsonl" for name, sha in found.items() if recorded[name] != sha]
    if other:
        raise ParleyError(
            f"{figures} was made of another {' and '.join(other)} than lies in {evaluated}: files of two runs stand "
            "here, as after a `git checkout` of metrics; `make repro` makes them one run's again"
        )
