"""What a person runs, by the Makefile's targets; this file holds what several of the tools need."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parley.errors import ParleyError


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
