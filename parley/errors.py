"""The one exception that a user is meant to read, and the near misses it names."""

import difflib
from collections.abc import Iterable


class ParleyError(Exception):
    """Something the user can mend: where, what was found, what was wanted, what to do.

    A stage that raises it prints the message without a traceback and exits 1. The message never
    holds a turn's text: files, lines, roles, lengths and ids only.
    """


def near_misses(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'lora'?` for the close names, else the whole list: the tail of an error."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(repr(c) for c in close)}?"
    return f"; known: {', '.join(known)}" if known else ""
