"""The agent sample through the data stages, raw and as data that is processed already."""

from pathlib import Path
from typing import Any

import pytest
from workspace import of_recipe, set_params, walk_data

from parley.errors import ParleyError
from parley.evaluation import cases_of
from parley.files import read_json
from parley.jsonl import rows_of
from parley.specialists.hermes import written

ROOT = Path(__file__).parents[2]


def walk(root: Path, **changes: Any) -> list[dict[str, Any]]:
    """The training rows, after the recipe's own settings and `changes`."""
    own = of_recipe("agent", "convert", "redact", "validate")
    set_params(root, **own | {"ingest__input": str(ROOT / "data/samples/agent")} | changes)
    walk_data(root)
    return [row for _, row in rows_of(root / "data/splits/train.jsonl")]


def test_five_steps_bring_three_shapes_to_one_and_each_broken_row_has_its_reason(tmp_path: Path) -> None:
    rows = walk(tmp_path)
    broken = ["result_without_call", "unclosed_thought", "unknown_argument", "unknown_tool", "unparsable_arguments"]
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == dict.fromkeys(broken, 1)
    assert {row["source"].partition(":")[0] for row in rows} == {"hermes.jsonl", "steps.jsonl", "log.json"}
    values = [turn["value"] for row in rows for turn in row["conversations"]]
    assert not any(tag in value for value in values for tag in ("<tool_call>", "<tool_response>", "<think>"))
    assert all(row["tools"] and "<tools>" not in row["system"] for row in rows)
    assert {row["labels"]["domain"] for row in rows} == {"retail", "airline", "other"}
    cases = [case for case in cases_of(tmp_path / "data/eval/cases.jsonl") if case.split == "test"]
    assert {case.labels["phrasing"] for case in cases} == {"seen", "unseen"}
    assert sum(bool(case.reference.calls) for case in cases) >= 100


def test_processed_data_comes_in_as_it_is(tmp_path: Path) -> None:
    rows = walk(tmp_path, ingest__files="hermes.jsonl", validate__test_file="", convert__transforms=[])
    assert read_json(tmp_path / "metrics/convert.json")["out"] == 420
    assert {turn["from"] for row in rows for turn in row["conversations"]} == {"human", "gpt"}
    assert sum(len(written(turn["value"]).calls) for row in rows for turn in row["conversations"]) > 400


def calling_rows(root: Path, tools: str) -> dict[str, Any]:
    """Settings that read nine rows with a call, each with the column `tools`."""
    call = '{\\"name\\": \\"look\\", \\"arguments\\": {}}'
    said = [("human", "go %d"), ("function_call", call), ("observation", "ok"), ("gpt", "done %d")]
    turns = ", ".join(f'{{"from": "{role}", "value": "{value}"}}' for role, value in said)
    lines = [f'{{"conversations": [{turns.replace("%d", str(n))}], "tools": "{tools}"}}' for n in range(9)]
    (root / "rows.jsonl").write_text("\n".join(lines))
    return {"ingest__input": "rows.jsonl", "validate__test_file": "", "validate__min_split": 1}


def test_rows_without_tools_stay_with_a_warning(tmp_path: Path) -> None:
    walk(tmp_path, **calling_rows(tmp_path, ""))
    data = read_json(tmp_path / "metrics/data.json")
    assert (data["out"], data["dropped"], data["warnings"]) == (9, {}, {"E015": 9})


def test_rows_that_call_though_they_declare_no_tool_are_dropped_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"no conversation left of 9 rows \(9 unknown_tool\)"):
        walk(tmp_path, **calling_rows(tmp_path, "[]"))
