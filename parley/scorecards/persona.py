"""persona: whether the model writes as the person does, and whom, when and where it knows them best.

style distance   how far the answers' words, punctuation marks and emoji are from those of what the person wrote: the
                 1-Wasserstein distance of the two distributions, https://doi.org/10.1016/j.spl.2014.03.024
vocabulary       share of the answers' words that the person uses in other conversations of the test or val split
perplexity       by author, by how many answers the person gave before, by label; a curve by token of the answer
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import regex

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.both import Both
from parley.scoring.resampling import rounded
from parley.scoring.scorecard import Curve, Figure, Scorecard
from parley.scoring.statistics import Pair, compare_statistic
from parley.scoring.words import words

MARK, EMOJI = regex.compile(r"\p{P}"), regex.compile(r"\p{Emoji_Presentation}|\p{Extended_Pictographic}")
STYLES: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "length distance": ("words", lambda text: float(len(words(text)))),
    "punctuation distance": ("marks/character", lambda text: len(MARK.findall(text)) / max(1, len(text))),
    "emoji distance": ("emoji", lambda text: float(len(EMOJI.findall(text)))),
}
MOST_SLICES = 12  # of one kind; of more, those with the most cases
TOKENS = 32  # of the curve
Split = Literal["test", "val"]


def score(cases: Sequence[Case], both: Both) -> Scorecard:
    """The figures of both splits, and the curve of the test split."""
    splits: tuple[Split, Split] = ("test", "val")
    parts = {split: Part([case for case in cases if case.split == split], both) for split in splits}
    figures = [figure for split, part in parts.items() for figure in part.figures(split)]
    return Scorecard(figures, parts["test"].curves())


@dataclass(frozen=True, slots=True)
class Part:
    """The cases of one split with both models' answers."""

    cases: Sequence[Case]
    both: Both

    def figures(self, split: Split) -> Iterator[Figure]:
        for name, (unit, measure) in STYLES.items():
            about = "how far the distribution over answers is from the person's"
            yield Figure(name, self.distance(measure, unit), "", split, about)
        about = "share of the answers' words that the person uses in other conversations of the split"
        yield Figure("vocabulary", self.both.compare(self.vocabulary()), "", split, about)
        about = "surprise at what the person wrote"
        for slice_, chosen in self.slices().items():
            pairs = [self.both.pair(case, lambda _, made: made.surprise()) for case in self.cases if case.id in chosen]
            nats = self.both.compare(pairs, "nats/token", higher_is_better=False)
            yield Figure("perplexity", nats, slice_, split, about)

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

    def vocabulary(self) -> list[Pair]:
        """The share of each answer's words that the references of other groups hold."""
        groups_of: dict[str, set[str]] = {}
        for case in self.cases:
            for word in set(words(case.reference.text)):
                groups_of.setdefault(word, set()).add(case.group)

        def known(case: Case, made: Generation) -> Score | Unscored:
            said = words(made.text)
            shared = sum(bool(groups_of.get(word, set()) - {case.group}) for word in said)
            return Score(shared / len(said), len(said)) if said else Unscored("answer has no word")

        return [self.both.pair(case, known) for case in self.cases]

    def distance(self, measure: Callable[[str], float], unit: str) -> dict[str, Any]:
        """An entry as `compare` makes it, of both models' Wasserstein distance from the references."""
        wanted = np.array([measure(case.reference.text) for case in self.cases])
        texts = ([answers[case.id].text for case in self.cases] for answers in (self.both.tuned, self.both.base))
        tuned, base = (partial(wasserstein, np.array([measure(text) for text in made]), wanted) for made in texts)
        groups = [case.group for case in self.cases]
        return compare_statistic(tuned, base, groups, unit=unit, higher_is_better=False, **self.both.sampling)

    def curves(self) -> list[Curve]:
        """Mean surprise at each token of what the person wrote, from the first."""
        series = {}
        for model, answers in (("tuned", self.both.tuned), ("base", self.both.base)):
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
