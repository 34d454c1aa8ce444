"""Curves for a page: numbers to the coordinates of an SVG, which the page's template draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 32  # margins; the labels of the axes sit in them
MOST_POINTS = 400  # more are averaged in pieces: a page holds no megabyte of path

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, its SVG path, and its points where they are few enough to be marked."""

    name: str
    path: str
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one pair of axes; ticks are (coordinate, value)."""

    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, float], ...]
    y_ticks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns with names; a bar is (x, y, width, height, name, count), ticks are (coordinate, what stands there)."""

    bars: tuple[tuple[float, float, float, float, str, int], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, float], ...]


def bars(columns: Sequence[tuple[str, int]]) -> Bars | None:
    """Columns of (name, count) side by side, from 0; a few of the names below them. None when there is no column."""
    if not columns:
        return None
    values = round_ticks(0, max(1, *(count for _, count in columns)))
    pitch = (WIDTH - LEFT - RIGHT) / len(columns)
    made = []
    for place, (name, count) in enumerate(columns):
        height = count / values[-1] * (HEIGHT - TOP - BOTTOM)
        left, top = LEFT + place * pitch, HEIGHT - BOTTOM - height
        made.append(
            (round(left + pitch * 0.08, 1), round(top, 1), round(pitch * 0.84, 1), round(height, 1), name, count)
        )
    apart = math.ceil(len(columns) * 90 / (WIDTH - LEFT - RIGHT))  # 90 units hold a name
    return Bars(
        bars=tuple(made),
        x_ticks=tuple((round(x + width / 2, 1), name) for x, _, width, _, name, _ in made[::apart]),
        y_ticks=tuple(
            (round(HEIGHT - BOTTOM - value / values[-1] * (HEIGHT - TOP - BOTTOM), 1), value) for value in values
        ),
    )


def chart(curves: Mapping[str, Points]) -> Chart | None:
    """The chart of named curves; None when no curve has a point."""
    curves = {name: thinned(points) for name, points in curves.items() if points}
    if not curves:
        return None
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    x_values, y_values = round_ticks(min(xs), max(xs)), round_ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-12)
    y_low, y_high = y_values[0], y_values[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    lines = []
    for name, points in curves.items():
        places = tuple(at(x, y) for x, y in points)
        path = "M" + " L".join(f"{across} {down}" for across, down in places)
        lines.append(Line(name, path, places if len(places) <= 20 else ()))
    return Chart(
        lines=tuple(lines),
        x_ticks=tuple((at(x, y_low)[0], x) for x in x_values if x_low <= x <= x_high),
        y_ticks=tuple((at(x_low, y)[1], y) for y in y_values),
    )


def thinned(points: Points, most: int = MOST_POINTS) -> Points:
    """The points, or the means of equal pieces of them when they are more than `most`."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return points
    pieces = [points[start : start + size] for start in range(0, len(points), size)]
    return [(piece[-1][0], sum(y for _, y in piece) / len(piece)) for piece in pieces]


def round_ticks(low: float, high: float) -> list[float]:
    """Three to seven round values that enclose low and high."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # the same, but for the last bits of sums
        low, high = low - abs(low or 1) / 2, high + abs(high or 1) / 2
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]
