import pytest

from parley.evaluation import Score, Unscored
from parley.scoring.both import share
from parley.scoring.scorecard import Curve, Figure, Scorecard, block, lines, matrices
from parley.scoring.statistics import Pair, compare


def entry() -> dict:
    pairs = [Pair(f"g{number}", Score(1.0), Score(0.0)) for number in range(3)]
    return compare(pairs, unit="rate", higher_is_better=True, resamples=200, seed=1)


def test_figures_stand_by_split_name_and_slice() -> None:
    curve = Curve("ROC", "false alarms", "hits", {"tuned": [(0.0, 0.0), (1.0, 1.0)]})
    found = block(
        Scorecard([Figure("b", entry()), Figure("a", entry(), "tool x"), Figure("b", entry(), split="val")], [curve])
    )
    assert found["order"] == ["b", "a"]
    assert found["test"] == {"b": {"all": entry()}, "a": {"tool x": entry()}}
    assert found["curves"][0]["series"] == {"tuned": [(0.0, 0.0), (1.0, 1.0)]}
    assert list(lines(found, "test", sliced=False)) == ["b"]
    assert list(lines(found, "test", sliced=True)) == ["a, tool x"]
    assert lines({}, "test", sliced=False) == {}


def test_figures_of_the_same_slices_share_a_table_of_six() -> None:
    figures = [Figure(name, entry(), part) for name in "abcdefgh" for part in ("x", "y")]
    found = matrices(block(Scorecard([*figures, Figure("z", entry(), "x")])), "test")
    assert [(names, [part for part, _ in rows]) for names, rows in found] == [
        (list("abcdef"), ["x", "y"]),
        (list("gh"), ["x", "y"]),
        (["z"], ["x"]),
    ]


def test_two_figures_of_one_name_and_slice_are_refused() -> None:
    with pytest.raises(AssertionError, match="two figures 'a' of slice 'all'"):
        block(Scorecard([Figure("a", entry()), Figure("a", entry())]))


def test_share_of_nothing_is_unscored() -> None:
    assert share(1, 4) == Score(0.25, 4)
    assert share(0, 0) == Unscored("nothing to count")
