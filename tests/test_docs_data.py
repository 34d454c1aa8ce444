"""docs/data.md names every code and every kind that the code has, and no other."""

import re
from pathlib import Path
from typing import get_args

from parley.conversion.gate import REASONS
from parley.conversion.redaction import Kind

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_every_code_is_explained_once() -> None:
    sources = [path for folder in ("parley", "stages") for path in (ROOT / folder).rglob("*.py")]
    used = set(re.findall(r'"([EW]\d{3})"', "\n".join(path.read_text(encoding="utf-8") for path in sources)))
    listed = first_cells("What is dropped, and why")
    assert sorted(listed) == sorted({*used, *REASONS, "max_samples", "low_quality", "duplicate message"})


def test_every_kind_of_redaction_is_explained_once() -> None:
    assert sorted(first_cells("What is hidden")) == sorted(get_args(Kind))
