"""perplexity: how surprised the model is by what the person really wrote.

Mean negative log-probability of the reference's tokens (end token included) given the context, over
all tokens of all cases; shown as exp of that mean. Two models compare only if their tokenizer is the same.
"""

import math

from parley.evaluation import Case, Generation, Score, Unscored

UNIT = "nats/token"
HIGHER_IS_BETTER = False
NEEDS_ANSWER = False  # it looks at probabilities alone
SHOWN_UNIT = "ppl"


def score(case: Case, generation: Generation) -> Score | Unscored:
    """Mean nats a token of the reference; the weight is its tokens."""
    return generation.surprise()


def shown(mean: float) -> float:
    """Perplexity of a mean in nats a token."""
    return math.exp(mean)
