"""Which of two answers is better: each pair is asked in both orders, since judges favour a place.

Both orders prefer the same answer: it wins. Anything else is a tie. An equal pair is a tie that nobody is asked about.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from parley.evaluation import Case, Generation, Score
from parley.judging.asking import Asker, Unusable
from parley.judging.fencing import NOTICE, as_lines, fenced
from parley.judging.questions import Question, Verdict
from parley.scoring.resampling import rounded
from parley.scoring.statistics import Pair, compare, mean

ENOUGH = 200  # cases from which a win rate is also given for answers of equal length

PROMPT = """\
Two answers were given to the last turn of a conversation. Say which one a person in this conversation would rather
have got: the one that fits better what was said, is truer, and reads more like this conversation. Length, order and
polish count for nothing by themselves. Reply with one JSON object and nothing else:
{{"reason": "what decided it, in one or two sentences", "better": "first", "second" or "tie"}}

{notice}

Conversation, one turn a line:
{input}

First answer:
{first}

Second answer:
{second}"""


class Preference(BaseModel):
    """What a judge replies."""

    reason: str
    better: Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Duel:
    """Two answers to one case, as the judge saw them in both orders; scores are 1 for ours, 0.5 tie, 0 for theirs."""

    group: str  # conversation group of the case
    longer: int  # characters by which our answer is longer
    ours_first: Verdict
    theirs_first: Verdict

    @property
    def verdict(self) -> Verdict:
        """1 won, 0.5 tied, 0 lost; no score where an order has none."""
        first, second = self.ours_first, self.theirs_first
        reason = f"Ours first: {first.reason}\nTheirs first: {second.reason}"
        if first.score is None or second.score is None:
            return Verdict(None, reason, first.kind or second.kind)
        return Verdict(first.score if first.score == second.score else 0.5, reason, "")


def orders(case: Case, ours: str, theirs: str, asker: Asker) -> tuple[Question, Question]:
    """The two questions of one pair: our answer first, their answer first."""

    def ask(first: str, second: str, better: Mapping[str, float]) -> Verdict:
        if first == second:
            return Verdict(0.5, "The two answers are the same.", "")
        fence, parts = fenced({"input": as_lines(case.context), "first": first, "second": second})
        prompt = PROMPT.format(notice=NOTICE.format(fence=fence), **parts)
        try:
            reply = asker.reply(prompt, Preference)
        except Unusable as unusable:
            return Verdict(None, "", unusable.kind)
        return Verdict(better[reply.better], reply.reason, "")

    ours_first = {"first": 1.0, "tie": 0.5, "second": 0.0}
    theirs_first = {"first": 0.0, "tie": 0.5, "second": 1.0}
    return lambda: ask(ours, theirs, ours_first), lambda: ask(theirs, ours, theirs_first)


def questions_of(
    cases: Sequence[Case], ours: Mapping[str, Generation], theirs: Mapping[str, Generation], asker: Asker
) -> list[Question]:
    """Both orders of every case, one after the other; the answers are by case id."""
    return [question for case in cases for question in orders(case, ours[case.id].text, theirs[case.id].text, asker)]


def duels_of(
    cases: Sequence[Case], ours: Mapping[str, Generation], theirs: Mapping[str, Generation], verdicts: Sequence[Verdict]
) -> list[Duel]:
    """The duels that the verdicts on `questions_of` decide; further verdicts are left alone."""
    return [
        Duel(case.group, len(ours[case.id].text) - len(theirs[case.id].text), first, second)
        for case, first, second in zip(cases, verdicts[::2], verdicts[1::2], strict=False)
    ]


def summary(duels: Sequence[Duel], *, resamples: int, seed: int) -> dict[str, Any]:
    """The entry of a comparison by pairs, in the form of `parley.scoring.statistics.compare`: `tuned` is our win rate.

    A tie is half a win, so `base` is 1 - `tuned` and the difference carries the interval of the one rate. `also`:
    how often both orders agree, how often the first place is preferred (0.5 is fair), how many tied.
    """
    pairs = []
    for duel in duels:
        won = duel.verdict.scored
        pairs.append(Pair(duel.group, won, Score(1 - won.value) if isinstance(won, Score) else won))
    entry = compare(pairs, unit="rate", higher_is_better=True, resamples=resamples, seed=seed)
    entry["unit"] = "win rate, a tie is half"
    scored = [duel for duel in duels if duel.verdict.score is not None]
    if not scored:
        return entry
    tuned, turned = entry["tuned"], {"value": "value", "low": "high", "high": "low"}
    ends = {end: value for end, value in tuned.items() if value is not None}
    entry["base"] |= {"low": None, "high": None} | {turned[end]: rounded(1 - value) for end, value in ends.items()}
    entry["difference"] |= {end: rounded(2 * value - 1) for end, value in ends.items()}
    seen = [(duel.group, duel.ours_first.score or 0.0, duel.theirs_first.score or 0.0) for duel in scored]
    figures = {
        "both orders agree": [(group, float(one == other)) for group, one, other in seen],
        "first place preferred": [(group, (one + 1 - other) / 2) for group, one, other in seen],
        "ties": [(duel.group, float(duel.verdict.score == 0.5)) for duel in scored],
    }
    entry["also"] = {name: mean(values, resamples=resamples, seed=seed) for name, values in figures.items()}
    if len(scored) >= ENOUGH and (level := at_equal_length(scored)):
        entry["also"]["win rate at equal length"] = level
    return entry


def at_equal_length(duels: Sequence[Duel]) -> dict[str, Any] | None:
    """The win rate if both answers were of one length, by a logistic regression on the difference in length.

    The length term of AlpacaEval 2 (Dubois et al., 2024, https://arxiv.org/abs/2404.04475), without its terms for
    the instruction; errors are clustered by conversation group. None where length alone decides, or nothing varies.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    won = np.array([duel.verdict.score for duel in duels], float)
    longer = np.array([duel.longer for duel in duels], float)
    if not won.std() or not longer.std():
        return None
    groups = np.unique([duel.group for duel in duels], return_inverse=True)[1]
    design = np.column_stack([np.ones(len(duels)), np.tanh(longer / longer.std())])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that does not end: the next line finds it
        fit = GLM(won, design, family=Binomial()).fit(cov_type="cluster", cov_kwds={"groups": groups})
    ends = np.array([fit.params[0], *fit.conf_int()[0]])
    if not fit.converged or not np.isfinite(ends).all() or np.abs(ends).max() > 30:
        return None
    value, low, high = (float(f"{rate:.6g}") for rate in 1 / (1 + np.exp(-ends)))
    return {"value": value, "low": low, "high": high, "n": len(duels)}
