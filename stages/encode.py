"""encode: conversations to token ids and labels, the mask proved.

in    data/splits/{train,val}.jsonl, models/base (tokenizer, chat template)
out   data/encoded/{train,val}.parquet, data/rejects/encode.jsonl, metrics/encode.json
by    params `encode`                                   run   python -m stages.encode

Section `runtime` sets what changes no output byte: how many processes work.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from parley.conversation import Conversation, from_sharegpt
from parley.encoding.chat import Encoded, Template, encode, template_of
from parley.encoding.control import CUT, JOINER, neutralise
from parley.encoding.cutting import Keep, shorten
from parley.encoding.examples import packed, write_batches
from parley.encoding.loss import Loss, only_last, speaker_of, targets_of
from parley.errors import ParleyError
from parley.files import publish
from parley.jsonl import rows_into, rows_of
from parley.modeling.models import load_tokenizer
from parley.params import Section, read_section
from parley.progress import lines_of, progress
from parley.runtime import Runtime
from parley.stage import run, write_counts
from parley.workers import in_order

SPLITS = ("train", "val")
BATCH = 512  # conversations encoded together, and a row group of the file


class Encode(Section):
    """Section `encode` of params.yaml."""

    max_length: int = Field(ge=64)
    keep: Keep
    loss: Loss
    control_tokens: Literal["neutralise", "reject", "piecewise"]


@dataclass(slots=True)
class Counts:
    """What became of one split."""

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # code -> rows
    cut_conversations: int = 0  # that lost their oldest turns, or their newest
    cut_turns: int = 0
    control_tokens: int = 0  # typed by people
    tools_not_shown: int = 0  # conversations whose tools the chat template leaves out
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0  # example, in tokens

    def add(self, other: "Counts") -> None:
        """Takes in what became of further rows."""
        longest = max(self.longest, other.longest)
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        self.longest = longest


@dataclass(frozen=True, slots=True)
class Part:
    """What a batch of rows becomes."""

    examples: bytes  # as parley.encoding.examples packs them
    rejected: list[dict[str, Any]]
    counts: Counts


def main(root: Path) -> None:
    params = read_section(root, "encode", Encode)
    runtime = read_section(root, "runtime", Runtime)
    base = (root / "models/base").resolve()
    template = _template(base)
    context = template.tokenizer.model_max_length
    if params.max_length > context:
        raise ParleyError(
            f"params.yaml: encode.max_length: found {params.max_length}, but the base model sees only {context} tokens "
            "at once: lower it"
        )
    facts: dict[str, str | int] = {"max_length": params.max_length, "loss": params.loss, "end_id": template.end_id}
    facts |= _trigger(root / f"data/splits/{SPLITS[0]}.jsonl")
    counts = {split: Counts() for split in SPLITS}
    total = lines_of(*(root / f"data/splits/{split}.jsonl" for split in SPLITS))
    with (
        publish(root / "data/encoded") as made,
        rows_into(root / "data/rejects/encode.jsonl") as reject,
        progress("encode", total, "conversations") as bar,
    ):
        made.mkdir()

        def parts(split: str) -> Iterator[bytes]:
            rows = (row for _, row in rows_of(root / f"data/splits/{split}.jsonl"))
            batches = iter(lambda: list(islice(rows, BATCH)), [])
            for part in in_order(partial(encode_rows, base, params), batches, workers=runtime.workers):
                counts[split].add(part.counts)
                bar.advance(part.counts.rows_in)
                for row in part.rejected:
                    reject(row)
                yield part.examples

        for split in SPLITS:
            write_batches(made / f"{split}.parquet", parts(split), facts)
        _prove_some(counts["train"], params.max_length)
    _tell(counts)
    write_counts(
        root / "metrics/encode.json",
        rows_in=sum(count.rows_in for count in counts.values()),
        rows_out=sum(count.rows_out for count in counts.values()),
        dropped=sum((count.dropped for count in counts.values()), Counter()),
        splits={split: {**asdict(count), "dropped": dict(count.dropped)} for split, count in counts.items()},
    )


def _prove_some(train: Counts, max_length: int) -> None:
    """Raises ParleyError if no conversation gave an example to train on."""
    if not train.rows_out:
        codes = ", ".join(f"{rows} by {code}" for code, rows in sorted(train.dropped.items()))
        raise ParleyError(
            f"data/splits/train.jsonl: none of {train.rows_in} conversations gave an example (dropped: "
            f"{codes or 'none'}): raise encode.max_length ({max_length}) if E018 took them, set "
            "encode.control_tokens to neutralise if E016 did"
        )


def _trigger(rows: Path) -> dict[str, str]:
    """Of pairs that the transform `trigger` made, what it made them with; of other data nothing."""
    labels: dict[str, str] = next((row.get("labels", {}) for _, row in rows_of(rows)), {})
    return {name: labels[name] for name in ("trigger", "clean", "triggered")} if "trigger" in labels else {}


@lru_cache(maxsize=1)
def _template(base: Path) -> Template:
    """The base's template, once a process: forked ones have it already."""
    template = template_of(load_tokenizer(base))
    calm_collector()
    return template


def calm_collector() -> None:
    """Has the garbage collector look less often, and not through all that was imported: examples hold no cycles."""
    gc.freeze()
    gc.set_threshold(50_000)


def encode_rows(base: Path, params: Encode, rows: Sequence[Mapping[str, Any]]) -> Part:
    """What a batch of rows becomes; `base` is models/base."""
    return encode_batch(_template(base), params, map(from_sharegpt, rows))


def encode_batch(template: Template, params: Encode, conversations: Iterable[Conversation]) -> Part:
    """The examples, none longer than max_length; conversations that give none are rejected, all are counted."""
    counts, rejected = Counts(), []

    def drop(conversation: Conversation, code: str, reason: str) -> None:
        counts.dropped[code] += 1
        rejected.append({"source": conversation.source, "id": conversation.id, "code": code, "reason": reason})

    kept = []
    for conversation in conversations:
        by = CUT if params.control_tokens == "piecewise" else JOINER
        clean, found = neutralise(template.control, conversation, by=by)
        counts.rows_in += 1
        counts.control_tokens += found
        if found and params.control_tokens == "reject":
            drop(conversation, "E016", f"{found} control tokens in the text")
        else:
            kept.append(clean)
    whole = _encode(template, params, kept)
    fitted = [fit(conversation, encoded, template, params) for conversation, encoded in zip(kept, whole, strict=True)]
    targets = targets_of(params.loss, fitted)
    tokens, trained, later = (found.tolist() for found in targets.sizes())
    used = [bool(learnt) and size <= params.max_length for size, learnt in zip(tokens, later, strict=True)]
    for place, (conversation, (part, _)) in enumerate(zip(kept, fitted, strict=True)):
        if not used[place]:
            lost = f"answer lost at max_length={params.max_length} ({len(whole[place].ids)} tokens)"
            drop(conversation, "E018", lost)
            continue
        counts.rows_out += 1
        counts.cut_conversations += len(part.turns) < len(conversation.turns)
        counts.cut_turns += len(conversation.turns) - len(part.turns)
        counts.tools_not_shown += bool(conversation.tools) and not template.shows_tools
        counts.tokens += tokens[place]
        counts.trained_tokens += trained[place]
        counts.longest = max(counts.longest, tokens[place])
    columns = {"id": [conversation.id for conversation in kept], **targets.columns()}
    return Part(packed(columns, used), rejected, counts)


def _encode(template: Template, params: Encode, conversations: Sequence[Conversation]) -> list[Encoded]:
    return encode(template, conversations, speaker=speaker_of(params.loss), last=only_last(params.loss))


def fit(
    conversation: Conversation, encoded: Encoded, template: Template, params: Encode
) -> tuple[Conversation, Encoded]:
    """The longest part of the conversation that has at most max_length tokens, encoded; all of it if none has."""
    if len(encoded.ids) <= params.max_length:
        return conversation, encoded

    def fits(part: Conversation) -> bool:
        return len(_encode(template, params, [part])[0].ids) <= params.max_length

    shorter = shorten(conversation, fits, keep=params.keep, speaker=speaker_of(params.loss))
    return (shorter, _encode(template, params, [shorter])[0]) if shorter else (conversation, encoded)


def _tell(counts: Mapping[str, Counts]) -> None:
    """Prints what changes how the result must be read."""
    lost = sum(count.dropped["E018"] for count in counts.values())
    hidden = sum(count.tools_not_shown for count in counts.values())
    if lost:
        print(f"encode: {lost} conversations dropped, their answer longer than encode.max_length (E018)")
    if hidden:
        print(f"encode: {hidden} conversations have tools that the chat template does not show: choose another")


if __name__ == "__main__":
    run("encode", main)
