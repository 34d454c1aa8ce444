"""distinct_2: share of an answer's pairs of neighbouring words that differ; a looping answer is near 0.

It sees loops inside one answer only. People repeat themselves too, so neither direction is better.
https://aclanthology.org/N16-1014
"""

from itertools import pairwise

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.words import words

UNIT = "0-1"
HIGHER_IS_BETTER = None


def score(case: Case, generation: Generation) -> Score | Unscored:
    """Distinct pairs / pairs; the weight is the pairs, so a long loop counts as long."""
    pairs = list(pairwise(words(generation.text)))
    if not pairs:
        return Unscored("answer has fewer than two words")
    return Score(len(set(pairs)) / len(pairs), weight=len(pairs))
