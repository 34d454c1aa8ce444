"""length_ratio: length of the answers over length of what the person wrote; 1 is as long as theirs."""

from parley.evaluation import Case, Generation, Score, Unscored

UNIT = "characters/character"
HIGHER_IS_BETTER = None


def score(case: Case, generation: Generation) -> Score | Unscored:
    """Answer / reference in characters; weighted by the reference, or one "ok" would swamp the mean."""
    length = len(case.reference.text.strip())
    if not length:
        return Unscored("reference has no text")
    return Score(len(generation.text.strip()) / length, weight=length)
