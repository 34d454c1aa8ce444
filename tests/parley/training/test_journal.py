"""Which epoch is published."""

from typing import Any

import pytest

from parley.training.journal import Epochs


def measured(*separations: float, error: float = 0.02) -> list[dict[str, Any]]:
    return [{"separation": value, "separation_error": error, "loss": 1.0} for value in separations]


@pytest.mark.parametrize(
    ("separations", "published", "first"),
    [
        ([0.5, 0.9, 0.97], 3, 3),
        ([0.5, 0.99, 0.98, 0.955], 4, 2),  # within two standard errors: the last has seen the most
        ([0.5, 0.99, 0.98, 0.9], 3, 2),
        ([0.98, 0.99, 0.9], 2, 1),
        ([0.99, 0.9, 0.5], 1, 1),
    ],
)
def test_of_epochs_that_chance_could_part_the_last_is_published(
    separations: list[float], published: int, first: int
) -> None:
    epochs = Epochs(keep=False, best_by="separation", patience=0)
    assert epochs.best(measured(*separations)) == published
    assert epochs.best(measured(*separations), first=True) == first


def test_an_epoch_that_was_passed_over_is_never_published_later() -> None:
    # Where epochs are not kept, its weights are gone.
    epochs = Epochs(keep=False, best_by="separation", patience=0)
    rows = measured(0.8, 0.97, 0.6, 0.96, 0.7, 0.99, 0.985, 0.9)
    best = [epochs.best(rows[:count]) for count in range(1, len(rows) + 1)]
    assert best == [1, 2, 2, 4, 4, 6, 7, 7]


def test_by_validation_loss_the_lowest_is_published_and_the_last_without_a_measure() -> None:
    rows = [{"loss": 2.0}, {"loss": 1.0}, {"loss": 1.0}, {"loss": 1.5}]
    assert Epochs(keep=False, best_by="val_loss", patience=0).best(rows) == 3
    assert Epochs(keep=False, best_by="val_loss", patience=1).best(rows, first=True) == 2
    assert Epochs(keep=False, best_by="last", patience=0).best(rows) == 4
