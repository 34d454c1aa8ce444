"""What two models made of the same cases, and the entries of metrics/scores.json that compare them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.statistics import Pair, compare

Answers = Mapping[str, Generation]  # case id -> generation


@dataclass(frozen=True, slots=True)
class Both:
    """What the two models made of the cases, and how the two are compared."""

    tuned: Answers
    base: Answers
    resamples: int
    seed: int

    @property
    def sampling(self) -> dict[str, Any]:
        """The arguments of parley.scoring.statistics."""
        return {"resamples": self.resamples, "seed": self.seed}

    def compare(
        self, pairs: Iterable[Pair], unit: str = "rate", *, higher_is_better: bool | None = True
    ) -> dict[str, Any]:
        """The entry of some pairs of scores."""
        return compare(list(pairs), unit=unit, higher_is_better=higher_is_better, **self.sampling)

    def pair(self, case: Case, measure: Callable[[Case, Generation], Score | Unscored]) -> Pair:
        """The case as one measure sees it."""
        return Pair(case.group, measure(case, self.tuned[case.id]), measure(case, self.base[case.id]))


def share(part: float, whole: float) -> Score | Unscored:
    """A case's part of a rate that is sum(part) / sum(whole) over cases; unscored where there is nothing to count."""
    return Score(part / whole, whole) if whole else Unscored("nothing to count")
