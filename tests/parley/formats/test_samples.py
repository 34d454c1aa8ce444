"""Each format on a made-up sample, tests/assets/formats/NAME/input: every record that comes out, in expected.jsonl."""

import json
from pathlib import Path
from typing import Any

import pytest

from parley.params import read_yaml
from parley.plugins import plugin_names
from stages import ingest

SAMPLES = Path(__file__).parents[2] / "assets/formats"
PARAMS = Path(__file__).parents[3] / "params.yaml"


def ingested(root: Path, source: Path, **changes: Any) -> list[str]:
    """Every message, conversation and reject as ingest writes it."""
    params = {"input": str(source), "files": "*", "format": "auto", "columns": {}, "date_order": "auto", **changes}
    (root / "params.yaml").write_text(json.dumps({"ingest": params, "runtime": read_yaml(PARAMS)["runtime"]}))
    ingest.main(root)
    files = ("data/interim/messages.jsonl", "data/interim/conversations.jsonl", "data/rejects/ingest.jsonl")
    return [line for file in files for line in (root / file).read_text(encoding="utf-8").splitlines()]


def test_every_format_has_a_sample() -> None:
    assert sorted(folder.name for folder in SAMPLES.iterdir()) == plugin_names("formats")


@pytest.mark.parametrize("format", plugin_names("formats"))
def test_a_sample_is_recognised_and_read_exactly(format: str, tmp_path: Path) -> None:
    columns = SAMPLES / format / "columns.json"
    changes = {"columns": json.loads(columns.read_text())} if columns.is_file() else {}
    found = ingested(tmp_path, SAMPLES / format / "input", **changes)
    expected = (SAMPLES / format / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in found] == [json.loads(line) for line in expected]
    assert list(json.loads((tmp_path / "metrics/ingest.json").read_text())["files"]) == [format]
