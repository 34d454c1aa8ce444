"""How long one call takes: percentiles over calls, after one that is not counted. In milliseconds."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
WARM_UP = 1


def percentiles(call: Callable[[T], object], inputs: Sequence[T]) -> tuple[float, float]:
    """The median and the 95th percentile of `call` over the inputs, one after another."""
    for one in inputs[:WARM_UP]:
        call(one)
    taken = []
    for one in inputs:
        start = time.perf_counter()
        call(one)
        taken.append(1000 * (time.perf_counter() - start))
    taken.sort()
    return round(taken[len(taken) // 2], 2), round(taken[min(len(taken) - 1, int(0.95 * len(taken)))], 2)
