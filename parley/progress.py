"""How far a stage is: on a terminal a bar with rate and time left, elsewhere (logs, CI) a plain line now and then.

Both say the same words, and neither says anything in the first second: most stages of small data are done by then.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

FIRST = 1.0  # seconds before the bar
LINES = 10.0  # seconds between two lines
REDRAW = 0.1  # seconds between two states of the bar


class Bar:
    """Steps done of a total."""

    def __init__(self, name: str, total: float, unit: str, *, done: float = 0) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self._before = done
        self._note = ""
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._pause = REDRAW if self._terminal else LINES
        self._next = self._start + (FIRST if self._terminal else LINES)
        self._drawn: Any = None  # rich's Progress, once there is something to draw

    def advance(self, steps: float = 1, note: str = "") -> None:
        """Counts further steps; `note` stands behind them until the next one."""
        self.done += steps
        self._note = note or self._note
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._pause
        if self._terminal:
            self._draw()
        else:
            print(f"{self.name}: {self.words()}", file=sys.stderr, flush=True)

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each counted when the next is asked for."""
        for item in items:
            yield item
            self.advance()

    def words(self) -> str:
        """Such as "1,200 of 5,000 rows, 812 rows/s, 5 s left"."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.done - self._before) / seconds
        pace = f"{1 / rate:,.1f} s each" if 0 < rate < 1 else f"{rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"
        said = f"{self.done:,.0f} of {self.total:,.0f} {self.unit}, {pace}"
        if rate:
            left = max(0.0, self.total - self.done) / rate
            said += f", {left:,.0f} s left" if left < 120 else f", {left / 60:,.1f} min left"
        return f"{said}, {self._note}" if self._note else said

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn is not None:
            self._drawn.stop()

    def _draw(self) -> None:
        if self._drawn is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(30),
                TextColumn("{task.fields[words]}"),
            )
            # No thread and no redirected streams: a worker that is forked now would inherit their locks.
            self._drawn = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._drawn.add_task(self.name, total=self.total, words="")
            self._drawn.start()
        self._drawn.update(self._task, completed=self.done, words=self.words(), refresh=True)


@contextmanager
def progress(name: str, total: float, unit: str) -> Iterator[Bar]:
    """A bar for the block."""
    bar = Bar(name, total, unit)
    try:
        yield bar
    finally:
        bar.close()


def tracked(items: Iterable[T], name: str, total: float, unit: str) -> Iterator[T]:
    """The items, each counted when the next is asked for."""
    with progress(name, total, unit) as bar:
        yield from bar.over(items)


def lines_of(*paths: Path) -> int:
    """Lines of files of rows, counted a hundred times as fast as they are read."""
    count = 0
    for path in paths:
        if path.is_file():
            with path.open("rb") as handle:
                count += sum(piece.count(b"\n") for piece in iter(lambda: handle.read(1 << 20), b""))
    return count
