"""truncated_rate: share of answers cut off at generate.max_new_tokens."""

from parley.evaluation import Case, Generation, Score

UNIT = "rate"
HIGHER_IS_BETTER = False


def score(case: Case, generation: Generation) -> Score:
    """1 for an answer that reached the limit, else 0."""
    return Score(float(generation.finish == "length"))
