"""Many numbers as few: quantiles, and columns for parley.reporting.curves.bars. Counts are value -> how often."""

from collections.abc import Iterable, Mapping
from datetime import date


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The least value below or at which lies `share` of them, each taken `counts` times."""
    wanted, before = share * sum(counts.values()), 0
    for value, times in sorted(counts.items()):
        before += times
        if before >= wanted:
            return value
    return max(counts)


def spread(counts: Mapping[int, int]) -> dict[str, int]:
    """Least, median, 95th percentile and greatest."""
    return {
        name: quantile(counts, share) for name, share in (("least", 0), ("median", 0.5), ("95 %", 0.95), ("most", 1))
    }


def binned(counts: Mapping[int, int], most: int = 30) -> list[tuple[str, int]]:
    """(range, how many) in at most `most` steps of one round width; the last one holds all from the 99th percentile."""
    low, high = min(counts), quantile(counts, 0.99)
    widths = (factor * 10**power for power in range(10) for factor in (1, 2, 5))
    width = next(width for width in widths if high // width - low // width < most)
    first, last = low // width, high // width
    made = dict.fromkeys(range(first, last + 1), 0)
    for value, times in counts.items():
        made[min(value // width, last)] += times
    names = {step: f"{step * width}" if width == 1 else f"{step * width}–{step * width + width - 1}" for step in made}
    if max(counts) // width > last:
        names[last] = f"{last * width}+"
    return [(names[step], times) for step, times in made.items()]


def calendar(days: Mapping[date, int]) -> list[tuple[str, int]]:
    """(day, month or year, conversations) without a gap, in the finest unit that gives at most 62 columns."""
    if not days:
        return []
    first, last = min(days), max(days)
    if (last - first).days < 62:
        every = (date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1))
        return [(str(day), days.get(day, 0)) for day in every]
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    if len(months) <= 62:
        return _added((f"{month // 12}-{month % 12 + 1:02}" for month in months), days, 7)
    return _added(map(str, range(first.year, last.year + 1)), days, 4)


def _added(names: Iterable[str], days: Mapping[date, int], letters: int) -> list[tuple[str, int]]:
    made = dict.fromkeys(names, 0)
    for day, times in days.items():
        made[str(day)[:letters]] += times
    return list(made.items())
