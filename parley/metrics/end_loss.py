"""end_loss: how surprised the model is by whether the user has finished; for cases of parley/cases/turn_detector.py.

-log p of the end token where the turn has ended, -log(1 - p) where it has not: a proper score, 0.69 for a model that
always says one half. Probabilities are kept within a millionth of 0 and 1, as finely as they are written.
"""

import math

from parley.evaluation import Case, Generation, Score, Unscored

UNIT = "nats/turn"
HIGHER_IS_BETTER = False
NEEDS_ANSWER = False  # it looks at probabilities alone
FINEST = 1e-6


def score(case: Case, generation: Generation) -> Score | Unscored:
    """Nats for one turn of the user."""
    ended, found = case.labels.get("end_of_turn"), generation.probabilities.get("end")
    if ended not in ("yes", "no") or found is None:
        return Unscored("no end of turn is asked for")
    right = found if ended == "yes" else 1 - found
    return Score(-math.log(min(1 - FINEST, max(FINEST, right))))
