"""How a judge found whole conversations: data/quality.jsonl, written by `make judge-clean`, read by validate.

    {"schema": 1, "conversation": "9f86d081884c7d659a2feaa0c55ad015", "relevance": 4, "coherence": 5}

`conversation` is its fingerprint (splits.py), so another text has no score; scores are 1 to 5. The file is in git,
empty at first: DVC asks for a dep that is always there, and experiments take along what git tracks.
"""

from pathlib import Path

from parley.errors import ParleyError
from parley.jsonl import rows_of

FILE = "data/quality.jsonl"


def read_quality(path: Path) -> dict[bytes, int]:
    """Fingerprint -> the lower of its two scores. Raises ParleyError when there is none at all."""
    found = {bytes.fromhex(row["conversation"]): min(row["relevance"], row["coherence"]) for _, row in rows_of(path)}
    if not found:
        raise ParleyError(f"{path} holds no score: run `make judge-clean`, or set validate.min_quality to 0")
    return found
