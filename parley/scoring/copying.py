"""What an answer takes from a text word for word: runs of at least RUN words, found by an index of word n-grams."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parley.conversation import Conversation, from_sharegpt
from parley.jsonl import rows_of
from parley.scoring.words import words

RUN = 8  # words; shorter runs are how people talk ("i don't know what to do")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no product of it is lost


@dataclass(frozen=True)
class Training:
    """What the models were trained on, or not: data/splits/train.jsonl."""

    path: Path

    @functools.cached_property
    def index(self) -> "Index":
        """The words of every turn."""
        return Index(words(turn.text) for _, row in rows_of(self.path) for turn in from_sharegpt(row).turns)


class Index:
    """Texts by the n-grams of their words: 20 bytes a word, and each different word once."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._ids: dict[str, int] = {}
        ids: list[int] = []
        for text in texts:
            ids.extend(self._ids.setdefault(word, len(self._ids)) for word in text)
            ids.append(-1)  # no run reaches across
        self._text = np.array([*ids, -1], np.int64)
        hashes = _hashes(self._text)
        self._starts = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._starts]

    def runs(self, said: Sequence[str]) -> list[tuple[int, int]]:
        """(first word, one behind the last) of the longest copied runs, none inside another."""
        ids = np.array([self._ids.get(word, -2) for word in said], np.int64)
        hashes = _hashes(ids)
        found = [(0, 0)]
        for start in range(len(hashes)):
            first, last = (np.searchsorted(self._hashes, hashes[start], side) for side in ("left", "right"))
            end = start + self._longest(ids[start:], self._starts[first:last])
            if end - start >= RUN and end > found[-1][1]:
                found.append((start, end))
        return found[1:]

    def _longest(self, ids: np.ndarray, starts: np.ndarray) -> int:
        """Words of `ids` that follow one another at one of the starts."""
        length = 0
        while len(starts) and length < len(ids):
            starts = starts[self._text[starts + length] == ids[length]]
            length += bool(len(starts))
        return length


def _hashes(ids: np.ndarray) -> np.ndarray:
    """A hash of each run of RUN words: (words - RUN + 1,)."""
    count = max(0, len(ids) - RUN + 1)
    found: np.ndarray = np.zeros(count, np.uint64)
    for place in range(RUN):
        found = found * _FACTOR + ids[place : place + count].astype(np.uint64)
    return found


def copied(said: Sequence[str], index: Index, context: Conversation) -> list[tuple[int, int]]:
    """The runs of an answer that stand in the indexed texts, and not in the context, which anybody may quote."""
    own = [f" {' '.join(words(turn.text))} " for turn in context.turns]
    runs = index.runs(said)
    return [(start, end) for start, end in runs if not any(f" {' '.join(said[start:end])} " in text for text in own)]
