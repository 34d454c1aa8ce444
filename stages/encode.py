"""encode: conversations to token ids and labels, the mask proved.

in    data/splits/{train,val}.jsonl, models/base (tokenizer, chat template)
out   data/encoded/{train,val}.parquet, data/rejects/encode.jsonl, metrics/encode.json
by    params `encode`                                   run   python -m stages.encode
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from parley.chat import Encoded, Template, encode, shorten, template_of
from parley.control import neutralise
from parley.conversation import Conversation, from_sharegpt
from parley.errors import ParleyError
from parley.examples import Example, write_examples
from parley.files import publish
from parley.jsonl import rows_into, rows_of
from parley.loss import Loss, speaker_of, targets_of
from parley.models import load_tokenizer
from parley.packing import IGNORED
from parley.params import Section, read_section
from parley.stage import run, write_counts

SPLITS = ("train", "val")
BATCH = 512  # conversations tokenized together
Reject = Callable[[Mapping[str, Any]], None]


class Encode(Section):
    """Section `encode` of params.yaml."""

    max_length: int = Field(ge=64)
    loss: Loss
    control_tokens: Literal["neutralise", "reject"]


@dataclass(slots=True)
class Counts:
    """What became of one split."""

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # code -> rows
    cut_conversations: int = 0  # that lost their oldest turns
    cut_turns: int = 0
    control_tokens: int = 0  # typed by people
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0  # example, in tokens


def main(root: Path) -> None:
    params = read_section(root, "encode", Encode)
    template = template_of(load_tokenizer(root / "models/base"))
    context = template.tokenizer.model_max_length
    if params.max_length > context:
        raise ParleyError(
            f"params.yaml: encode.max_length: found {params.max_length}, but the base model sees only {context} tokens "
            "at once: lower it"
        )
    counts = {split: Counts() for split in SPLITS}
    with publish(root / "data/encoded") as made, rows_into(root / "data/rejects/encode.jsonl") as reject:
        made.mkdir()
        for split in SPLITS:
            rows = (from_sharegpt(row) for _, row in rows_of(root / f"data/splits/{split}.jsonl"))
            write_examples(made / f"{split}.parquet", examples(rows, template, params, counts[split], reject))
        if not counts["train"].rows_out:
            codes = ", ".join(f"{rows} by {code}" for code, rows in sorted(counts["train"].dropped.items()))
            raise ParleyError(
                f"data/splits/train.jsonl: none of {counts['train'].rows_in} conversations gave an example (dropped: "
                f"{codes or 'none'}): raise encode.max_length ({params.max_length}) if E018 took them, set "
                "encode.control_tokens to neutralise if E016 did"
            )
    write_counts(
        root / "metrics/encode.json",
        rows_in=sum(count.rows_in for count in counts.values()),
        rows_out=sum(count.rows_out for count in counts.values()),
        dropped=sum((count.dropped for count in counts.values()), Counter()),
        splits={split: {**asdict(count), "dropped": dict(count.dropped)} for split, count in counts.items()},
    )


def examples(
    rows: Iterator[Conversation], template: Template, params: Encode, counts: Counts, reject: Reject
) -> Iterator[Example]:
    """The rows' examples, none longer than max_length; those that give none are rejected, all are counted."""

    def drop(conversation: Conversation, code: str, reason: str) -> None:
        counts.dropped[code] += 1
        reject({"source": conversation.source, "id": conversation.id, "code": code, "reason": reason})

    while batch := list(islice(rows, BATCH)):
        kept = []
        for conversation in batch:
            clean, found = neutralise(template.control, conversation)
            counts.rows_in += 1
            counts.control_tokens += found
            if found and params.control_tokens == "reject":
                drop(conversation, "E016", f"{found} control tokens in the text")
            else:
                kept.append(clean)
        for conversation, encoded in zip(kept, encode(template, kept, speaker=speaker_of(params.loss)), strict=True):
            fitted = fit(conversation, encoded, template, params)
            if fitted is None:
                drop(conversation, "E018", f"answer lost at max_length={params.max_length} ({len(encoded.ids)} tokens)")
                continue
            kept_turns, example = fitted
            counts.rows_out += 1
            counts.cut_conversations += kept_turns < len(conversation.turns)
            counts.cut_turns += len(conversation.turns) - kept_turns
            counts.tokens += len(example.input_ids)
            counts.trained_tokens += sum(label != IGNORED for label in example.labels)
            counts.longest = max(counts.longest, len(example.input_ids))
            yield example


def fit(conversation: Conversation, encoded: Encoded, template: Template, params: Encode) -> tuple[int, Example] | None:
    """Turns kept and the example of at most max_length tokens; None if nothing is left to learn."""
    speaker, limit = speaker_of(params.loss), params.max_length
    kept: Conversation | None = conversation
    if len(encoded.ids) > limit:
        kept = shorten(conversation, lambda part: len(encode(template, [part], speaker=speaker)[0].ids) <= limit)
        encoded = encode(template, [kept], speaker=speaker)[0] if kept else encoded
    if kept is None:
        return None
    targets = targets_of(params.loss, encoded, kept)
    if not any(label != IGNORED for label in targets.labels[1:]):
        return None
    return len(kept.turns), Example(kept.id, encoded.ids, targets.labels, targets.weights)


if __name__ == "__main__":
    run("encode", main)
