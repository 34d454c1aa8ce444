"""make judge-cache: what is kept of judges' answers; OLDER=days or MODEL=name says which would go, YES=1 removes them.

Removed answers are paid for again when somebody asks the same.
"""

import argparse
import time
from pathlib import Path

from rich.console import Console

from parley.judging.answers import Store
from tools import table

FILE = Path(".judge/answers.sqlite")


def judge_cache(path: Path, console: Console, *, model: str = "", older: float = 0, yes: bool = False) -> None:
    """Prints the contents by model, then what a prune removes or would remove."""
    if not path.is_file():
        console.print(f"{path} is not there: no judge has answered yet")
        return
    store = Store(path)
    headings = ("client", "model", "answers", "unusable", "tokens in", "tokens out", "first", "last")
    shown = table(headings, left=("client", "model"))
    for column in shown.columns:
        column.no_wrap = True
    for client, name, *counts, first, last in store.contents():
        days = [time.strftime("%Y-%m-%d", time.gmtime(made)) for made in (first, last)]
        shown.add_row(client, name, *(f"{count:,}" for count in counts), *days)
    console.print(shown)
    console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    if model or older:
        count = store.prune(model=model, before=time.time() - older * 86400, really=yes)
        console.print(f"{count:,} answers removed" if yes else f"{count:,} answers would go; YES=1 removes them")
    store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="judge-cache")
    parser.add_argument("--model", default="")
    parser.add_argument("--older", type=float, default=0)
    parser.add_argument("--yes", action="store_true")
    asked = parser.parse_args()
    judge_cache(FILE, Console(), model=asked.model, older=asked.older, yes=asked.yes)
