"""make preview: the first examples as training sees them, token by token, what is trained in colour.

    python -m tools.preview [--count 3] [--split train|val]

Reads data/splits and models/base with the settings of params.yaml, and encodes as the encode stage does. On the
terminal, and as a page: metrics/preview.html. What is trained also stands between ⟦ and ⟧, and each line's ids below
it.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from parley.conversation import Conversation, from_sharegpt
from parley.encoding.chat import Template, template_of
from parley.encoding.examples import Example, unpacked
from parley.encoding.packing import IGNORED
from parley.errors import ParleyError
from parley.files import publish
from parley.jsonl import rows_of
from parley.modeling.models import load_tokenizer
from parley.params import read_section
from stages.encode import SPLITS, Encode, encode_batch
from tools import told

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STYLES = {1: "bold black on green", -1: "bold white on red", 0: ""}
LONGEST = 6  # ids that together are one character, at most


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of a token, or of several that are one character only together."""

    text: str
    ids: tuple[int, ...]
    weight: float  # in the loss; 0 is not trained


@dataclass(frozen=True, slots=True)
class Shown:
    """An example, cut into lines."""

    id: str
    tokens: int
    trained: int
    lines: tuple[tuple[Piece, ...], ...]


def shown(example: Example, tokenizer: "PreTrainedTokenizerBase") -> Shown:
    """The example's pieces; a line ends with the piece that holds a line break."""
    weights = example.weights or [1.0] * len(example.labels)
    weights = [weight if label != IGNORED else 0.0 for weight, label in zip(weights, example.labels, strict=True)]
    lines: list[list[Piece]] = [[]]
    for piece in _pieces(example.input_ids, weights, tokenizer):
        lines[-1].append(piece)
        if "\n" in piece.text:
            lines.append([])
    trained = len(weights) - weights.count(0.0)
    return Shown(example.id, len(weights), trained, tuple(tuple(line) for line in lines if line))


def _pieces(ids: Sequence[int], weights: Sequence[float], tokenizer: "PreTrainedTokenizerBase") -> Iterator[Piece]:
    """A token's text is what it adds after the one before: alone, SentencePiece's would lose their blanks."""
    start = 0
    while start < len(ids):
        before = tokenizer.decode(ids[max(start - 1, 0) : start])
        for stop in range(start + 1, min(start + LONGEST, len(ids)) + 1):
            text = tokenizer.decode(ids[max(start - 1, 0) : stop])[len(before) :]
            if "\ufffd" not in text:
                break
        else:
            stop = start + 1
        yield Piece(text, tuple(ids[start:stop]), weights[start])
        start = stop


def visible(text: str) -> str:
    """Line breaks as signs, and nothing that a terminal would obey."""
    text = text.replace("\n", "⏎")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def print_examples(examples: Sequence[Shown], console: Console) -> None:
    """Each example's lines, and below each line the ids of its tokens."""
    for example in examples:
        console.print(Text(f"{example.id}: {example.tokens} tokens, {example.trained} of them trained", "bold"))
        inside = False
        for line in example.lines:
            words, ids = Text(), Text("    ", "dim")
            for piece in line:
                words.append("⟦" if piece.weight and not inside else "⟧" if inside and not piece.weight else "")
                inside = bool(piece.weight)
                style = STYLES[(piece.weight > 0) - (piece.weight < 0)]
                words.append(visible(piece.text), style)
                ids.append("+".join(map(str, piece.ids)) + " ", "bold green" if piece.weight > 0 else "dim")
            console.print(words, soft_wrap=True)
            console.print(ids, soft_wrap=True)
        console.print(Text("⟧\n" if inside else ""))


def write_page(path: Path, split: str, examples: Sequence[Shown]) -> None:
    """The same as HTML, escaped; no network, no script."""
    from jinja2 import Environment, FileSystemLoader

    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    text = pages.get_template("preview.html.jinja").render(split=split, examples=examples)
    with publish(path) as made:
        made.write_text(text, encoding="utf-8")


def first(template: Template, params: Encode, conversations: Iterator[Conversation], count: int) -> list[Shown]:
    """The first examples; conversations that give none are passed over."""
    found: list[Example] = []
    while len(found) < count and (batch := list(islice(conversations, count))):
        found += unpacked(encode_batch(template, params, batch).examples)
    return [shown(example, template.tokenizer) for example in found[:count]]


def preview(root: Path, split: str, count: int) -> None:
    """Prints the first examples of a split and writes the page."""
    params = read_section(root, "encode", Encode)
    rows = (from_sharegpt(row) for _, row in rows_of(root / f"data/splits/{split}.jsonl"))
    examples = first(template_of(load_tokenizer(root / "models/base")), params, rows, count)
    if not examples:
        raise ParleyError(f"no row of data/splits/{split}.jsonl gives an example: metrics/encode.json says why")
    print_examples(examples, Console(highlight=False))
    write_page(root / "metrics/preview.html", split, examples)
    print("preview: metrics/preview.html")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make preview", description="The first examples, what is trained in colour.")
    parser.add_argument("--count", type=int, default=3, help="how many (3)")
    parser.add_argument("--split", choices=SPLITS, default=SPLITS[0], help="of which split (train)")
    given = parser.parse_args()
    with told("preview"):
        preview(Path(), given.split, max(given.count, 1))
