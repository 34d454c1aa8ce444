"""Conversations that say nearly the same: MinHash sketches, gathered by bands, compared by Jaccard similarity.

A text is the set of its 5-character pieces, hashed. Two sketches of it are kept, about 1 kB together: the
128 smallest hashes, which give the similarity (exactly, up to 128 pieces; beyond, within about 0.03), and 16 keys of
8 minima each, of which texts at least 0.85 alike share one with a chance above 99 %
(Broder 1997; one pass over the hashes instead of 128: Shrivastava 2017, https://arxiv.org/abs/1703.04664).
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

PIECE = 5  # characters
KEPT = 128  # hashes of the first sketch
BINS, ROWS = 128, 8  # minima of the second, and how many make a key
CROWD = 8  # texts of one key that a new one is compared with, so that boilerplate does not cost its square

_MIX = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.array([pow(0x100000001B3, place, 2**64) for place in range(PIECE)], dtype=np.uint64)
_EDGES = np.arange(BINS, dtype=np.uint64) << np.uint64(57)  # the bin of a hash is its first 7 bits
# Where an empty bin looks for a value, try by try: the same bins for every text.
_ELSEWHERE = np.random.default_rng(0).integers(BINS, size=(4096, BINS))


@dataclass(slots=True)
class Near:
    """The texts so far, by their place."""

    threshold: float  # similarity from which two are nearly the same
    pieces: list[np.ndarray] = field(default_factory=list)
    keys: list[np.ndarray] = field(default_factory=list)

    def add(self, text: str) -> None:
        hashes = _hashes(text)
        self.pieces.append((hashes[:KEPT] >> np.uint64(32)).astype(np.uint32))
        self.keys.append(_keys(hashes))

    def duplicates(self) -> dict[int, tuple[int, float]]:
        """Place of a text -> place of an earlier one that is nearly the same and none itself, and how similar."""
        found: dict[int, tuple[int, float]] = {}
        crowds: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        shared = _shared(np.stack(self.keys)) if self.keys else np.zeros((0, 0), bool)
        for place in np.flatnonzero(shared.any(axis=1)).tolist():
            mine = [(band, int(self.keys[place][band])) for band in np.flatnonzero(shared[place]).tolist()]
            for other in sorted({other for key in mine for other in crowds[key][-CROWD:]}):
                alike = similarity(self.pieces[place], self.pieces[other])
                if alike >= self.threshold:
                    found[place] = other, alike
                    break
            else:
                for key in mine:
                    crowds[key].append(place)
        return found


def _hashes(text: str) -> np.ndarray:
    """The hashes of the text's pieces, each once, smallest first."""
    codes = np.frombuffer(text.ljust(PIECE).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    mixed = np.convolve(codes, _POWERS, "valid")
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX
    return np.unique(mixed)


def _keys(hashes: np.ndarray) -> np.ndarray:
    """16 numbers; a bin without a hash of its own takes another bin's."""
    first = np.searchsorted(hashes, _EDGES)
    minima = hashes[np.minimum(first, len(hashes) - 1)]
    empty = (minima >> np.uint64(57)) != np.arange(BINS, dtype=np.uint64)
    source = np.arange(BINS)
    for elsewhere in _ELSEWHERE:
        todo = empty[source]
        if not todo.any():
            break
        source = np.where(todo, elsewhere, source)
    minima = (minima[source] ^ (minima[source] >> np.uint64(31))) * _MIX
    return np.bitwise_xor.reduce((minima * _ODD).reshape(-1, ROWS), axis=1)


_ODD = np.random.default_rng(1).integers(2**63, size=BINS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _shared(keys: np.ndarray) -> np.ndarray:
    """Of a matrix of keys, a row a text: which stand more than once in their column."""
    found = np.zeros(keys.shape, dtype=bool)
    for band in range(keys.shape[1]):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        found[:, band] = counts[inverse] > 1
    return found


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Jaccard similarity of two sets, from the smallest hashes of each."""
    both = np.sort(np.concatenate([one, other]))
    again = both[1:] == both[:-1]
    distinct = len(both) - int(again.sum())
    if distinct <= KEPT:
        return int(again.sum()) / distinct
    limit = both[np.concatenate([[True], ~again])][KEPT - 1]
    return int((again & (both[1:] <= limit)).sum()) / KEPT
