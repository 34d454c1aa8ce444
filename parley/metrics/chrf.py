"""chrf: overlap of character n-grams with what the person wrote, by sacrebleu; works in every script.

chrF2 (n-grams of 1-6 characters, no words, white space ignored), one score a case.
https://aclanthology.org/W15-3049
"""

from sacrebleu.metrics import CHRF

from parley.evaluation import Case, Generation, Score, Unscored

UNIT = "0-100"
HIGHER_IS_BETTER = True
_CHRF = CHRF()


def score(case: Case, generation: Generation) -> Score | Unscored:
    """chrF of the answer against the reference."""
    if not case.reference.text.strip():
        return Unscored("reference has no text")
    return Score(_CHRF.sentence_score(generation.text, [case.reference.text]).score)
