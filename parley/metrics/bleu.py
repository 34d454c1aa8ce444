"""bleu: overlap of word n-grams with what the person wrote, by sacrebleu; 0 for most good answers in small talk.

Sentence BLEU (n-grams of 1-4 words, exponential smoothing, effective order) over parley's words, since sacrebleu's
own tokenizers know one script each; the mean over cases is not corpus BLEU. https://aclanthology.org/W18-6319
"""

from sacrebleu.metrics import BLEU

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.words import words

UNIT = "0-100"
HIGHER_IS_BETTER = True
_BLEU = BLEU(tokenize="none", effective_order=True)


def score(case: Case, generation: Generation) -> Score | Unscored:
    """BLEU of the answer against the reference."""
    reference = words(case.reference.text)
    if not reference:
        return Unscored("reference has no word")
    return Score(_BLEU.sentence_score(" ".join(words(generation.text)), [" ".join(reference)]).score)
