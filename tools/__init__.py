"""What a person runs, by the Makefile's targets; this file holds what several of the tools need."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from parley.errors import ParleyError

if TYPE_CHECKING:
    from rich.table import Table


@contextmanager
def told(name: str, *, folder: str = "") -> Iterator[None]:
    """Around what a tool does: errors become one line, and Ctrl-C none. folder: what names the one it writes to."""
    try:
        yield
    except ParleyError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        if not folder:
            raise
        sys.exit(f"{name}: {error.filename}: {error.strerror}: name another folder as {folder}")
    except KeyboardInterrupt:
        sys.exit(130)


def check_elsewhere(root: Path, folder: Path, name: str, *own: str) -> None:
    """Raises ParleyError for a folder in one of the pipeline's own; `name` is what the user gave it as."""
    for place in own:
        if folder.resolve().is_relative_to((root / place).resolve()):
            raise ParleyError(f"{name}={folder}: {place}/ is the pipeline's own: name a folder elsewhere")


def table(headings: Sequence[str], *, left: Sequence[str]) -> "Table":
    """A table without lines; `left`: the headings of the columns that hold words, the others hold numbers."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(Text(heading), justify="left" if heading in left else "right")
    return made
