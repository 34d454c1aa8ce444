"""Scorecards: a recipe's own numbers, by which its field judges it; they stand in the report as they are here.

A module in parley/scorecards has `score(cases, both) -> Scorecard`; `both` is what the two models made of the cases
(parley.scoring.both). In metrics/scores.json under `recipe`, with a slice of "" written as `all`:

    {"order": ["json_valid"], "headline": "json_valid",
     "test": {"json_valid": {"all": {entry}, "tool search": {entry}}}, "val": {},
     "curves": [{"title": "ROC", "x": "FPR", "y": "TPR", "series": {"tuned": [[0, 0], [1, 1]]}}]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

ALL = "all"
COLUMNS = 6  # figures beside one another that a page has room for


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of both models."""

    name: str  # such as json_valid
    entry: Mapping[str, Any]  # of parley.scoring.both
    slice: str = ""  # what it is limited to, such as "tool search" or "language bn"; "" for the whole split
    split: Literal["val", "test"] = "test"
    about: str = ""  # the sentence that the report says of it


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart of named series over one pair of axes."""

    title: str
    x: str  # what the axes are, with their units
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Figures in the order in which they are read, and curves."""

    figures: Sequence[Figure]
    curves: Sequence[Curve] = ()
    headline: str = ""  # the figure that says whether the model got better; "" leaves that to perplexity


def block(scorecard: Scorecard) -> dict[str, Any]:
    """The `recipe` block of metrics/scores.json. Two figures of one name, slice and split are a mistake."""
    found: dict[str, Any] = {"val": {}, "test": {}}
    for figure in scorecard.figures:
        slices = found[figure.split].setdefault(figure.name, {})
        if (figure.slice or ALL) in slices:
            raise AssertionError(f"two figures {figure.name!r} of slice {figure.slice or ALL!r}")
        slices[figure.slice or ALL] = {**figure.entry, **({"about": figure.about} if figure.about else {})}
    order = list(dict.fromkeys(figure.name for figure in scorecard.figures))
    return {
        "order": order,
        "headline": scorecard.headline,
        **found,
        "curves": [asdict(curve) for curve in scorecard.curves],
    }


def lines(recipe: Mapping[str, Any], split: str, *, sliced: bool) -> dict[str, Any]:
    """Name -> entry of a `recipe` block's split, in the scorecard's order; `sliced`: "name, slice" -> entry instead."""
    return {
        f"{name}, {part}" if sliced else name: entry
        for name in recipe.get("order", [])
        for part, entry in sorted(recipe[split].get(name, {}).items())
        if (part != ALL) == sliced
    }


def matrices(recipe: Mapping[str, Any], split: str) -> list[tuple[list[str], list[tuple[str, list[Any]]]]]:
    """(figures, rows) of a `recipe` block's split; a row is (slice, each figure's entry).

    Figures that are cut into the same slices share one: tools by how well they are called, say. At most COLUMNS do.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name in recipe.get("order", []):
        if parts := tuple(sorted(part for part in recipe[split].get(name, {}) if part != ALL)):
            found.setdefault(parts, []).append(name)
    return [
        (names, [(part, [recipe[split][name][part] for name in names]) for part in parts])
        for parts, all_names in found.items()
        for names in (all_names[at : at + COLUMNS] for at in range(0, len(all_names), COLUMNS))
    ]
