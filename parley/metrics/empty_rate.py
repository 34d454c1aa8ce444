"""empty_rate: share of answers with nothing but white space."""

from parley.evaluation import Case, Generation, Score

UNIT = "rate"
HIGHER_IS_BETTER = False


def score(case: Case, generation: Generation) -> Score:
    """1 for an empty answer, else 0."""
    return Score(float(not generation.text.strip()))
