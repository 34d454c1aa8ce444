"""turn_detector: how well the probability of the end token tells turns that have ended from turns that have not.

Thresholds are chosen on val, for each model and language, and used on test: the highest that accepts 99.3 % of ended
turns (LiveKit's operating point), and the one with the best F1. A language with fewer than 200 unfinished turns in val
takes the threshold of all languages. A turn that has ended is a positive.
ABOUT says what each figure is of.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from parley.evaluation import Case, Score, Unscored
from parley.scoring.both import Both
from parley.scoring.detection import Statistic, calibration_error, pr_auc, roc_auc
from parley.scoring.scorecard import Curve, Figure, Scorecard
from parley.scoring.statistics import Pair, compare_statistic
from parley.specialists.turn_text import pieces

TPR = 0.993
ENOUGH = 200  # unfinished turns in val for a threshold of one's own
POINTS = 200  # of a curve, at most
SHORT = 2  # words
_DIGIT = re.compile(r"\d|@|<(?:email|phone|card|iban)>")
Operating = Literal["", "_best_f1"]
ABOUT = {
    "roc_auc": "chance that a turn that has ended gets a higher probability than one that has not",
    "pr_auc": "precision over all thresholds, each weighted by the recall that it adds",
    "ece": "how far probabilities are from frequencies, over ten bins of equal width",
    "tpr": "ended turns that are taken for ended, at the threshold for 99.3 % on val",
    "tnr": "unfinished turns that are waited out, at that threshold",
    "fpr": "unfinished turns that are taken for ended, at that threshold",
    "f1": "of turns taken for ended, at that threshold",
    "tpr_best_f1": "as tpr, at the threshold of the best F1 on val",
    "interruption": "conversations in which an unfinished turn is taken for ended",
    "missed_turn": "conversations in which an ended turn is not taken for ended",
    "punctuation_flip": "turns with punctuation that are judged another way without",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """A case with what both models gave its end token."""

    case: Case
    given: tuple[float, float]  # by tuned and base, as every pair of this file

    @property
    def ended(self) -> bool:
        return bool(self.case.labels["end_of_turn"] == "yes")

    @property
    def language(self) -> str:
        return str(self.case.labels.get("language", "und"))


@dataclass(frozen=True, slots=True)
class Threshold:
    """One language's, of both models, from some turns of val; `about` says which, where they are not its own."""

    limits: tuple[float, float]
    about: str
    groups: Sequence[str]  # of each turn


def score(cases: Sequence[Case], both: Both) -> Scorecard:
    """Every figure of the test split, by language and slice, and the thresholds that val gave."""
    turns = [
        Turn(case, (both.tuned[case.id].probabilities["end"], both.base[case.id].probabilities["end"]))
        for case in cases
        if case.labels.get("end_of_turn") in ("yes", "no") and "end" in both.tuned[case.id].probabilities
    ]
    plain_turns = [turn for turn in turns if turn.case.labels.get("text") != "raw"]
    val = [turn for turn in plain_turns if turn.case.split == "val"]
    test = [turn for turn in plain_turns if turn.case.split == "test"]
    languages = sorted({turn.language for turn in plain_turns})
    figures: list[Figure] = []
    thresholds: dict[Operating, dict[str, Threshold]] = {"": {}, "_best_f1": {}}
    for kind, found in thresholds.items():
        found |= chosen(val, languages, kind)
        figures += [Figure(f"threshold{kind}", entry_of(one), name, "val", one.about) for name, one in found.items()]
    sheet = Sheet(thresholds, both)
    figures.append(Figure("roc_auc", sheet.contrast(val, roc_auc, "area", True), split="val"))
    parts: dict[str, list[Turn]] = {"": test}
    if len(languages) > 1:
        parts |= {one: [turn for turn in test if turn.language == one] for one in languages}
    for one in sorted({text for turn in test if (text := turn.case.labels.get("slice"))}):
        parts[one] = [turn for turn in test if turn.case.labels.get("slice") == one]
    parts[f"answers of at most {SHORT} words"] = [turn for turn in test if len(pieces(said(turn))) <= SHORT]
    parts["numbers and addresses"] = [turn for turn in test if _DIGIT.search(said(turn))]
    for part, members in parts.items():
        figures += sheet.figures(members, part)
    raw = [turn for turn in turns if turn.case.split == "test" and turn.case.labels.get("text") == "raw"]
    figures.append(Figure("punctuation_flip", sheet.flips(raw, {turn.case.id: turn for turn in test})))
    figures = [replace(figure, about=figure.about or ABOUT.get(figure.name, "")) for figure in figures]
    curve = Curve("ROC on test", "false positive rate", "true positive rate", roc(test, languages))
    return Scorecard(figures, [curve], headline="roc_auc")


def said(turn: Turn) -> str:
    return turn.case.reference.text


def arrays(turns: Sequence[Turn]) -> tuple[np.ndarray, np.ndarray]:
    """What each model gave, (2, turns), and which turns have ended, (turns,)."""
    given = np.array([turn.given for turn in turns], float).reshape(-1, 2).T
    return given, np.array([turn.ended for turn in turns], bool)


def chosen(val: Sequence[Turn], languages: Sequence[str], kind: Operating) -> dict[str, Threshold]:
    """Language -> threshold, "" for all of them; empty where val has turns of one kind only."""
    pick = at_best_f1 if kind else at_tpr

    def of(turns: Sequence[Turn], about: str) -> Threshold:
        (tuned, base), ended = arrays(turns)
        return Threshold((pick(tuned, ended), pick(base, ended)), about, [turn.case.group for turn in turns])

    if len({turn.ended for turn in val}) < 2:
        return {}
    found = {"": of(val, "")}
    for language in languages:
        own = [turn for turn in val if turn.language == language]
        negatives = sum(not turn.ended for turn in own)
        about = ""
        if negatives < ENOUGH:
            about = f"of all languages: {language} has {negatives} unfinished turns in val, fewer than {ENOUGH}"
        elif negatives == len(own):
            about = f"of all languages: {language} has no turn in val that has ended"
        found[language] = of(val if about else own, about)
    return found


def at_tpr(probability: np.ndarray, ended: np.ndarray) -> float:
    """The highest threshold that accepts a share of TPR of the ended turns."""
    order = np.sort(probability[ended])[::-1]
    return float(order[math.ceil(TPR * len(order)) - 1])


def at_best_f1(probability: np.ndarray, ended: np.ndarray) -> float:
    """The threshold with the best F1; of several the highest."""
    candidates = np.unique(probability)[::-1]
    accepted = np.array([np.sum(probability >= one) for one in candidates])
    hits = np.array([np.sum(probability[ended] >= one) for one in candidates])
    return float(candidates[np.argmax(2 * hits / (accepted + ended.sum()))])


def roc(test: Sequence[Turn], languages: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Series -> (FPR, TPR) from 0 to 1, for each language of the tuned model and for the base."""
    series = {}
    several = [(f"tuned {one}", one, 0) for one in languages] if len(languages) > 1 else []
    for name, language, model in [("tuned", "", 0), *several, ("base", "", 1)]:
        found, ended = arrays([turn for turn in test if language in ("", turn.language)])
        if not ended.any() or ended.all():
            continue
        given = found[model]
        places = np.unique(given)[::-1]
        places = places[np.unique(np.linspace(0, len(places) - 1, POINTS).astype(int))]
        points = [(float(np.mean(given[~ended] >= one)), float(np.mean(given[ended] >= one))) for one in places]
        series[name] = [(0.0, 0.0), *((round(x, 6), round(y, 6)) for x, y in points)]
    return series


def entry_of(one: Threshold) -> dict[str, Any]:
    """The entry of a threshold, which has no interval."""
    tuned, base = one.limits
    values = {"tuned": tuned, "base": base, "difference": tuned - base}
    return {
        "unit": "probability",
        "higher_is_better": None,
        "n": len(one.groups),
        "groups": len(set(one.groups)),
        "unscored": {},
        "no_interval": "chosen on val, not measured",
        **{name: {"value": value, "low": None, "high": None} for name, value in values.items()},
    }


@dataclass(frozen=True, slots=True)
class Sheet:
    """The figures of some turns, at thresholds."""

    thresholds: Mapping[Operating, Mapping[str, Threshold]]
    both: Both

    def figures(self, turns: Sequence[Turn], part: str) -> list[Figure]:
        """All figures of some test turns."""
        found = []
        for name, statistic, unit, better in STATISTICS:
            found.append(Figure(name, self.contrast(turns, statistic, unit, better), part))
        for kind in self.thresholds:
            for name, measure, better in RATES:
                pairs = (
                    Pair(turn.case.group, *(measure(one, turn.ended) for one in self.accepted(turn, kind)))
                    for turn in turns
                )
                found.append(Figure(f"{name}{kind}", self.compare(pairs, better), part))
        for name, ended in (("interruption", False), ("missed_turn", True)):
            found.append(Figure(name, self.compare(self.by_conversation(turns, ended=ended), False), part))
        return found

    def contrast(self, turns: Sequence[Turn], statistic: Statistic, unit: str, better: bool) -> dict[str, Any]:
        """A figure of both models' probabilities; not scored where all turns are of one kind."""
        given, ended = arrays(turns)
        tuned, base = (partial(statistic, probability, ended) for probability in given)
        kinds = {"positive" if turn.ended else "negative" for turn in turns}
        why = f"all cases are {kinds.pop()}" if len(kinds) == 1 else ""
        groups = [turn.case.group for turn in turns]
        options = {"unit": unit, "higher_is_better": better, "not_scored": why, **self.both.sampling}
        return compare_statistic(tuned, base, groups, **options)

    def accepted(self, turn: Turn, kind: Operating = "") -> tuple[bool, bool]:
        """Whether each model takes the turn for ended."""
        tuned, base = (self.thresholds[kind].get(turn.language) or self.thresholds[kind][""]).limits
        return turn.given[0] >= tuned, turn.given[1] >= base

    def by_conversation(self, turns: Sequence[Turn], *, ended: bool) -> Iterator[Pair]:
        """Whether any turn of one kind is judged wrong, for each conversation that has such turns."""
        wrong: dict[str, list[bool]] = {}
        for turn in turns:
            if turn.ended == ended:
                seen = wrong.setdefault(turn.case.group, [False, False])
                for model, accepted in enumerate(self.accepted(turn)):
                    seen[model] |= accepted != ended
        for group, (tuned, base) in wrong.items():
            yield Pair(group, Score(float(tuned)), Score(float(base)))

    def flips(self, raw: Sequence[Turn], others: Mapping[str, Turn]) -> dict[str, Any]:
        """The share of raw turns whose twin without punctuation is judged another way."""

        def pairs() -> Iterator[Pair]:
            for turn in raw:
                if twin := others.get(f"{turn.case.id}@plain"):
                    judged = zip(self.accepted(turn), self.accepted(twin), strict=True)
                    yield Pair(turn.case.group, *(Score(float(one != other)) for one, other in judged))

        return self.compare(pairs(), False)

    def compare(self, pairs: Iterable[Pair], higher_is_better: bool) -> dict[str, Any]:
        """The entry of a rate; that there is no threshold to make the pairs with is a reason of its own."""
        entry = self.both.compare(pairs if self.thresholds[""] else (), higher_is_better=higher_is_better)
        if not self.thresholds[""]:
            entry["not_scored"] = "no threshold: the turns of val are all of one kind, ended or not"
        return entry


STATISTICS: tuple[tuple[str, Statistic, str, bool], ...] = (
    ("roc_auc", roc_auc, "area", True),
    ("pr_auc", pr_auc, "area", True),
    ("ece", calibration_error, "probability", False),
)
Measure = Callable[[bool, bool], Score | Unscored]
NOTHING = Unscored("turn of the other kind")


def f1(accepted: bool, ended: bool) -> Score:
    """A turn's part of 2 TP / (2 TP + FP + FN)."""
    weight = float(accepted) + float(ended)
    return Score(float(accepted and ended) * 2 / (weight or 1), weight)


# Name, (taken for ended, has ended) -> score, whether more is better.
RATES: tuple[tuple[str, Measure, bool], ...] = (
    ("tpr", lambda accepted, ended: Score(float(accepted)) if ended else NOTHING, True),
    ("tnr", lambda accepted, ended: NOTHING if ended else Score(float(not accepted)), True),
    ("fpr", lambda accepted, ended: NOTHING if ended else Score(float(accepted)), False),
    ("f1", f1, True),
)
