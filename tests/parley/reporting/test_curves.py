from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.reporting.curves import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, chart, round_ticks, thinned


def test_first_and_last_point_lie_at_the_edges() -> None:
    found = chart({"loss": [(0, 10.0), (100, 0.0)]})
    assert found is not None
    assert found.lines[0].path == f"M{LEFT}.0 {TOP}.0 L{WIDTH - RIGHT}.0 {HEIGHT - BOTTOM}.0"
    assert found.y_ticks[0] == (HEIGHT - BOTTOM, 0.0) and found.y_ticks[-1] == (TOP, 10.0)


def test_no_point_no_chart() -> None:
    assert chart({"loss": [], "eval": []}) is None


def test_single_point_and_flat_line_are_drawn() -> None:
    for points in ([(1.0, 2.0)], [(1.0, 0.0), (2.0, 0.0)]):
        found = chart({"loss": points})
        assert found is not None and len(found.lines[0].marks) == len(points)


def test_long_log_is_averaged_in_pieces() -> None:
    points = [(float(x), float(x % 2)) for x in range(10 * MOST_POINTS)]
    found = thinned(points)
    assert len(found) == MOST_POINTS and {y for _, y in found} == {0.5}
    assert found[-1][0] == points[-1][0]
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_even_and_enclose(low: float, spread: float) -> None:
    ticks = round_ticks(low, low + spread)
    slack = max(abs(low), spread) * 1e-6
    assert ticks[0] <= low + slack and ticks[-1] >= low + spread - slack
    assert 2 <= len(ticks) <= 8
    steps = [after - before for before, after in pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3, abs=slack)


def test_values_that_differ_in_their_last_bits_get_the_ticks_of_the_same() -> None:
    ticks = round_ticks(5.0, 5.000000000000001)
    assert 3 <= len(set(ticks)) <= 7 and ticks[0] < 5 < ticks[-1]
