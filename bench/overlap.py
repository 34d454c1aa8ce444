"""How much the samples share with the text that the embedded base model learns from: runs of words, by their length.

    python -m bench.overlap

A test split is part of its samples, so what they don't share, it doesn't either.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from parley.embedded import corpus_texts
from parley.params import read_yaml

ROOT = Path(__file__).parents[1]
LENGTHS = (3, 5, 7, 9, 13)  # words


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def grams(texts: Iterable[str], size: int) -> set[tuple[str, ...]]:
    """Every run of `size` words within a text."""
    split = [words(text) for text in texts]
    return {tuple(line[at : at + size]) for line in split for at in range(len(line) - size + 1)}


def texts_of(folder: Path) -> list[str]:
    """Every string of the JSON files below a folder, of the interrupted ones too."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.json*")))
    return [json.loads(string) for text in texts for string in re.findall(r'"(?:[^"\\]|\\.)*"', text)]


def corpus() -> list[str]:
    """The embedded base model's text under params.yaml."""
    params = read_yaml(ROOT / "params.yaml")
    return list(corpus_texts(params["seed"], params["base"]["conversations"]))


def main() -> None:
    learnt = {size: grams(corpus(), size) for size in LENGTHS}
    print(f"| samples | {' | '.join(f'{size} words: of, shared' for size in LENGTHS)} |")
    print(f"|---|{'---|' * len(LENGTHS)}")
    for folder in sorted((ROOT / "data/samples").iterdir()):
        own = {size: grams(texts_of(folder), size) for size in LENGTHS}
        cells = (f"{len(own[size])}, {len(own[size] & learnt[size])}" for size in LENGTHS)
        print(f"| {folder.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
