"""longest_copy: words of the longest run of an answer that the training text holds verbatim; 0 below eight words.

What the case's own context holds is a quotation and does not count.
"""

from collections.abc import Callable

from parley.evaluation import Case, Generation, Score
from parley.scoring.copying import Training, copied
from parley.scoring.words import words

UNIT = "words"
HIGHER_IS_BETTER = False


def scorer(training: Training) -> Callable[[Case, Generation], Score]:
    """The length of the longest copied run."""

    def score(case: Case, generation: Generation) -> Score:
        runs = copied(words(generation.text), training.index, case.context)
        return Score(float(max((end - start for start, end in runs), default=0)))

    return score
