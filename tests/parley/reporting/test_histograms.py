"""Columns hold every value, none more than asked for, without a gap."""

from collections import Counter
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from parley.reporting.curves import HEIGHT, WIDTH, bars
from parley.reporting.histograms import binned, calendar, quantile, spread

counted = st.dictionaries(st.integers(0, 10**6), st.integers(1, 50), min_size=1).map(Counter)


@given(counted)
def test_every_value_is_in_one_column(counts: Counter[int]) -> None:
    columns = binned(counts)
    assert sum(times for _, times in columns) == counts.total()
    assert 1 <= len(columns) <= 30


@given(counted, st.floats(0, 1))
def test_a_quantile_has_its_share_at_or_below_it_and_no_lesser_value_has(counts: Counter[int], share: float) -> None:
    found = quantile(counts, share)
    assert sum(times for value, times in counts.items() if value <= found) >= share * counts.total()
    assert not any(
        sum(times for value, times in counts.items() if value <= other) >= share * counts.total()
        for other in counts
        if other < found
    )


def test_columns_are_named_by_their_range_and_the_last_holds_the_long_tail() -> None:
    counts = Counter({1: 500, 2: 300, 40: 195, 5000: 5})
    columns = dict(binned(counts))
    assert (columns["0–1"], columns["2–3"], columns["40+"]) == (500, 300, 200)
    assert spread(counts) == {"least": 1, "median": 1, "95 %": 40, "most": 5000}


def test_columns_of_width_one_are_single_values() -> None:
    assert binned(Counter({2: 3, 4: 1})) == [("2", 3), ("3", 0), ("4", 1)]


def test_a_calendar_has_no_gap_and_takes_the_unit_that_fits() -> None:
    near = {date(2026, 2, 27): 1, date(2026, 3, 1): 2}
    assert calendar(near) == [("2026-02-27", 1), ("2026-02-28", 0), ("2026-03-01", 2)]
    assert calendar({date(2025, 11, 30): 1, date(2026, 2, 1): 2, date(2026, 2, 9): 1}) == [
        ("2025-11", 1),
        ("2025-12", 0),
        ("2026-01", 0),
        ("2026-02", 3),
    ]
    assert calendar({date(2015, 1, 1): 1, date(2026, 1, 1): 2})[0] == ("2015", 1)
    assert calendar({}) == []


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10**6)), min_size=1, max_size=62))
def test_bars_stay_inside_and_are_as_high_as_their_counts(columns: list[tuple[str, int]]) -> None:
    found = bars(columns)
    assert found and [(name, count) for *_, name, count in found.bars] == columns
    assert all(
        x >= 0 and x + width <= WIDTH and y >= 0 and y + height <= HEIGHT for x, y, width, height, *_ in found.bars
    )
    assert len({round(y + height) for _, y, _, height, *_ in found.bars}) == 1
    by_count = sorted((count, height) for _, _, _, height, _, count in found.bars)
    assert [height for _, height in by_count] == sorted(height for _, height in by_count)


def test_no_column_is_no_chart() -> None:
    assert bars([]) is None
