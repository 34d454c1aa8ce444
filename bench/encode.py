"""How fast encode is beside the tokenizer alone on the same text.

    python -m bench.encode [--rounds 5] [--rows 3000]

From rows in memory to Parquet on disk (control strings, chat template, ids, the proof of the mask, labels), against
the tokenizer's own batch call on the texts that the template writes: in turns, in one process, one thread each, in
CPU-seconds. Two texts of about as many characters: the embedded base's corpus, whose conversations are short, and the
same with eight of its conversations in one, turn by turn. Two tokenizers, both trained on the text: as the embedded
base has it (2,048 tokens), and 32,000 tokens with the word pattern of GPT-4's. Prints the
table of bench/results/encode.md.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from parley.conversation import Conversation, Turn, from_sharegpt, to_sharegpt
from parley.embedded import corpus
from parley.embedded.model import train_tokenizer
from parley.encoding.chat import template_of
from parley.encoding.examples import write_batches
from parley.encoding.rendering import render
from parley.modeling.families import read_template
from stages.encode import BATCH, Encode, calm_collector, encode_batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PARAMS = Encode(max_length=8192, keep="newest", loss="assistant", control_tokens="neutralise")
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def large_tokenizer(rows: list[Conversation], template: str) -> "PreTrainedTokenizerFast":
    """32,000 tokens, words split as GPT-4's tokenizer and Llama 3's do."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    inner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    inner.decoder = decoders.ByteLevel()
    control = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=32000, special_tokens=control, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator((turn.text for row in rows for turn in row.turns), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=control[1], extra_special_tokens=control[:1], chat_template=template
    )


def longer(rows: list[Conversation]) -> list[Conversation]:
    """Each eight conversations without tools as one: the first turns of all, then the second ones, and so on."""
    plain = sorted((row for row in rows if not row.tools), key=lambda row: len(row.turns))
    eights = [plain[start : start + 8] for start in range(0, len(plain) - 7, 8)]
    return [
        replace(eight[0], turns=tuple(_together(turns) for turns in zip(*(one.turns for one in eight), strict=False)))
        for eight in eights
    ]


def _together(turns: tuple[Turn, ...]) -> Turn:
    return Turn(turns[0].role, "\n\n".join(turn.text for turn in turns))


def cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(tokenizer: "PreTrainedTokenizerFast", rows: list[Conversation], rounds: int) -> str:
    """A line of the table: MB/CPU-s of the tokenizer, of encode, their ratio by rounds."""
    template = template_of(tokenizer)
    written = [to_sharegpt(row) for row in rows]
    texts = ["".join(render(template.renderer, row, shift=template.shift)) for row in rows]
    size = sum(len(text.encode()) for text in texts) / 1e6

    def encode(folder: Path) -> None:
        remaining = iter(written)
        batches = iter(lambda: list(islice(remaining, BATCH)), [])
        parts = (encode_batch(template, PARAMS, map(from_sharegpt, batch)).examples for batch in batches)
        write_batches(folder / "train.parquet", parts)

    calm_collector()  # as the stage does
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            alone = cpu(lambda: tokenizer(texts, add_special_tokens=False))
            ours = cpu(lambda: encode(Path(folder)))
            if number:  # the first one warms up
                found.append((size / alone, size / ours))
    alone, ours = (statistics.median(pair[place] for pair in found) for place in (0, 1))
    ratios = sorted(b / a for a, b in found)
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
    return f"{len(rows)} | {size:.1f} | {1e6 * size / len(rows):,.0f} | {alone:.2f} | {ours:.2f} | {ratio} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3000)
    given = parser.parse_args()
    chatml = read_template("chatml", Path())[1]
    short = list(corpus(7, given.rows))
    texts = {"short": short, "longer": longer(list(corpus(8, 2 * given.rows)))}
    print(
        "| text | tokenizer | conversations | MB | bytes each | tokenizer, MB/CPU-s | encode | ratio (lowest–highest) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in texts.items():
        for kind, make in (("2,048 tokens", train_tokenizer), ("32,000 tokens", large_tokenizer)):
            print(f"| {name} | {kind} | {measure(make(rows, chatml), rows, given.rounds)}", flush=True)


if __name__ == "__main__":
    main()
