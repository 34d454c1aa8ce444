"""persona: whether the model writes as the person does, and whom, when and where it knows them best.

style distance   how far the answers' words, punctuation marks and emoji are from those of what the person wrote: the
                 1-Wasserstein distance of the two distributions, https://doi.org/10.1016/j.spl.2014.03.024
vocabulary       share of the answers' words that the person uses in other conversations of the test or val split
perplexity       by author, by how many answers the person gave before, by label; a curve by token of the answer
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import regex

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.resampling import rounded
from parley.scoring.scorecard import Curve, Figure, Scorecard
from parley.scoring.statistics import Pair, compare, compare_statistic
from parley.scoring.words import words

MARK, EMOJI = regex.compile(r"\p{P}"), regex.compile(r"\p{Emoji_Presentation}|\p{Extended_Pictographic}")
STYLES: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "length distance": ("words", lambda text: float(len(words(text)))),
    "punctuation distance": ("marks/character", lambda text: len(MARK.findall(text)) / max(1, len(text))),
    "emoji distance": ("emoji", lambda text: float(len(EMOJI.findall(text)))),
}
MOST_SLICES = 12  # of one kind; of more, those with the most cases
TOKENS = 32  # of the curve
Answers = Mapping[str, Generation]


def score(cases: Sequence[Case], tuned: Answers, base: Answers, *, resamples: int, seed: int) -> Scorecard:
    """The figures of both splits, and the curve of the test split."""
    figures = []
    for split in ("test", "val"):
        part = Part([case for case in cases if case.split == split], tuned, base, resamples, seed)
        figures += [Figure(figure.name, figure.entry, figure.slice, split, figure.about) for figure in part.figures()]
    test = Part([case for case in cases if case.split == "test"], tuned, base, resamples, seed)
    return Scorecard(figures, test.curves())


class Part:
    """The cases of one split with both models' answers."""

    def __init__(self, cases: Sequence[Case], tuned: Answers, base: Answers, resamples: int, seed: int) -> None:
        self.cases = cases
        self.sides = {"tuned": tuned, "base": base}
        self.options: Any = {"resamples": resamples, "seed": seed}
        self.groups = [case.group for case in cases]

    def figures(self) -> Iterator[Figure]:
        for name, (unit, measure) in STYLES.items():
            about = "how far the distribution over answers is from the person's"
            yield Figure(name, self.distance(measure, unit), about=about)
        about = "share of the answers' words that the person uses in other conversations of the split"
        yield Figure("vocabulary", self.compared(self.vocabulary(), "rate", higher=True), about=about)
        about = "surprise at what the person wrote"
        for slice_, chosen in self.slices().items():
            nats = [self.surprise(case) if case.id in chosen else None for case in self.cases]
            yield Figure("perplexity", self.compared(nats, "nats/token", higher=False), slice_, about=about)

    def compared(self, scores: Sequence[tuple[Any, Any] | None], unit: str, *, higher: bool) -> dict[str, Any]:
        pairs = [Pair(group, *both) for group, both in zip(self.groups, scores, strict=True) if both]
        return compare(pairs, unit=unit, higher_is_better=higher, **self.options)

    def surprise(self, case: Case) -> tuple[Score | Unscored, Score | Unscored]:
        tuned, base = (_surprise(answers[case.id].reference_logprobs) for answers in self.sides.values())
        return tuned, base

    def slices(self) -> dict[str, set[str]]:
        """ "author person-1", "answer 1", "language de" … -> ids of its cases; a kind with one slice has none."""
        kinds: dict[str, dict[str, set[str]]] = {}
        for case in self.cases:
            before = sum(turn.role == "assistant" for turn in case.context.turns)
            place = next(name for least, name in ((8, "9 and on"), (3, "4-8"), (1, "2-3"), (0, "1")) if before >= least)
            named = {"author": case.context.author, "answer": place, **case.labels}
            for kind, value in named.items():
                if isinstance(value, str) and value:
                    kinds.setdefault(kind, {}).setdefault(f"{kind} {value}", set()).add(case.id)
        found: dict[str, set[str]] = {}
        for slices in kinds.values():
            most = sorted(slices, key=lambda name: (-len(slices[name]), name))[:MOST_SLICES]
            found |= {name: slices[name] for name in most if len(slices) > 1}
        return found

    def vocabulary(self) -> list[tuple[Score | Unscored, Score | Unscored]]:
        """For each case and model the share of its words that the references of other groups hold."""
        written = [set(words(case.reference.text)) for case in self.cases]
        groups_of: dict[str, set[str]] = {}
        for group, used in zip(self.groups, written, strict=True):
            for word in used:
                groups_of.setdefault(word, set()).add(group)

        def known(text: str, group: str) -> Score | Unscored:
            said = words(text)
            shared = sum(bool(groups_of.get(word, set()) - {group}) for word in said)
            return Score(shared / len(said), len(said)) if said else Unscored("answer has no word")

        rows = zip(self.cases, self.groups, strict=True)
        tuned, base = self.sides.values()
        return [(known(tuned[case.id].text, group), known(base[case.id].text, group)) for case, group in rows]

    def distance(self, measure: Callable[[str], float], unit: str) -> dict[str, Any]:
        """An entry as `compare` makes it, of both models' Wasserstein distance from the references."""
        wanted = np.array([measure(case.reference.text) for case in self.cases])
        made = [np.array([measure(answers[case.id].text) for case in self.cases]) for answers in self.sides.values()]
        tuned, base = (partial(wasserstein, lengths, wanted) for lengths in made)
        return compare_statistic(tuned, base, self.groups, unit=unit, higher_is_better=False, **self.options)

    def curves(self) -> list[Curve]:
        """Mean surprise at each token of what the person wrote, from the first."""
        series = {}
        for model, answers in self.sides.items():
            sums, counts = defaultdict[int, float](float), Counter[int]()
            for case in self.cases:
                for place, nats in enumerate(answers[case.id].reference_logprobs[:TOKENS]):
                    sums[place] -= nats
                    counts[place] += 1
            series[model] = [(place + 1, rounded(sums[place] / counts[place])) for place in sorted(counts)]
        return [Curve("Surprise by token of the answer", "token", "nats", series)] if any(series.values()) else []


def wasserstein(made: np.ndarray, wanted: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Distance of two distributions (cases,) in each sample, where times (samples, cases) weighs the cases."""
    order = np.argsort(np.concatenate([made, wanted]), kind="stable")
    steps = np.diff(np.concatenate([made, wanted])[order])
    above = np.concatenate([times, -times], axis=1)[:, order].cumsum(axis=1)[:, :-1]
    found: np.ndarray = (np.abs(above) * steps).sum(axis=1) / times.sum(axis=1)
    return found


def _surprise(logprobs: Sequence[float]) -> Score | Unscored:
    tokens = len(logprobs)
    return Score(-sum(logprobs) / tokens, tokens) if tokens else Unscored("no log-probabilities of the reference")
