"""rouge_l: longest common subsequence of words with what the person wrote, by rouge-score.

F1, without stemming, over parley's words: rouge-score's own tokenizer keeps a-z and 0-9 only, and
would score every other script 0. https://aclanthology.org/W04-1013
"""

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.words import words

UNIT = "0-1"
HIGHER_IS_BETTER = True


class _Words(Tokenizer):
    def tokenize(self, text: str) -> list[str]:
        return words(text)


_ROUGE = RougeScorer(["rougeL"], tokenizer=_Words())


def score(case: Case, generation: Generation) -> Score | Unscored:
    """ROUGE-L F1 of the answer against the reference."""
    if not words(case.reference.text):
        return Unscored("reference has no word")
    return Score(_ROUGE.score(case.reference.text, generation.text)["rougeL"].fmeasure)
