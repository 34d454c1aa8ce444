"""The generated parts of the docs are what the code makes now."""

import json
import re

import pytest

from parley.evaluation import Case, Generation
from tools.pages import PAGES, parts


@pytest.mark.parametrize(
    # tests/test_recipes_end_to_end.py, which has a trained model, holds sessions.trained against what tools print.
    "name",
    ["params", "memory", "encode", *(pytest.param(name, marks=pytest.mark.slow) for name in ("walk", "sessions"))],
)
def test_the_page_is_what_the_tool_writes(name: str) -> None:
    assert parts(name)[1] == PAGES[name](), f"python -m tools.pages {name} writes it again"


def test_records_of_a_run_have_the_fields_that_runs_have_now() -> None:
    rows = [json.loads(row) for row in re.findall(r"```json\n(.*)\n```", parts("walk")[2])]
    case, base, tuned, score, _ = rows
    assert set(case) == {*Case.__dataclass_fields__, "schema"}
    assert set(base) == set(tuned) == {*Generation.__dataclass_fields__, "schema"}
    assert case["id"] == base["id"] == tuned["id"] == score["id"]
