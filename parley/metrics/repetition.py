"""repetition: share of an answer's runs of four words that it has said before; a looping answer is near 1.

seq-rep-4 of Welleck et al. (2020), https://arxiv.org/abs/1908.04319, over words instead of tokens.
"""

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.words import words

UNIT = "rate"
HIGHER_IS_BETTER = False
RUN = 4  # words


def score(case: Case, generation: Generation) -> Score | Unscored:
    """Repeated runs / runs; the weight is the runs, so a long loop counts as long."""
    said = words(generation.text)
    runs = [tuple(said[start : start + RUN]) for start in range(len(said) - RUN + 1)]
    if not runs:
        return Unscored(f"answer has fewer than {RUN} words")
    return Score(1 - len(set(runs)) / len(runs), weight=len(runs))
