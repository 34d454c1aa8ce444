"""exact_match: share of answers that are what the person wrote, case and white space aside.

Both texts are composed (NFC) and casefolded, runs of white space become one space, the ends are
trimmed; punctuation and emoji count.
"""

import unicodedata

from parley.evaluation import Case, Generation, Score, Unscored

UNIT = "rate"
HIGHER_IS_BETTER = True


def score(case: Case, generation: Generation) -> Score | Unscored:
    """1 for the same text, else 0."""
    if not case.reference.text.strip():
        return Unscored("reference has no text")
    return Score(float(_plain(generation.text) == _plain(case.reference.text)))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
