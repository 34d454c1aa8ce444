"""Other people's agent data through the recipe: every row is used or explained, or the file is refused by name."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from workspace import of_recipe, set_params, walk_data

from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from parley.specialists.domain import domains

REAL = os.environ.get("PARLEY_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not REAL, reason="PARLEY_REAL_DATA names no folder")


def walk(root: Path, file: str) -> dict[str, Counter[str]]:
    """What each arrow dropped, by reason."""
    changes = of_recipe("agent", "convert", "redact", "validate")
    changes |= {"ingest__input": f"{REAL}/{file}", "validate__test_file": "", "validate__min_split": 1}
    set_params(root, **changes)
    return walk_data(root)


def test_runs_of_tau_bench_without_tools_stay_and_are_warned_of(tmp_path: Path) -> None:
    dropped = walk(tmp_path, "agent_taubench/gpt-4o-airline.json")
    assert not sum(dropped.values(), Counter())
    data = read_json(tmp_path / "metrics/data.json")
    assert data["out"] == 50 and data["warnings"]["E015"] == 41
    labels = {row["labels"]["domain"] for _, row in rows_of(tmp_path / "data/splits/train.jsonl")}
    assert labels == {"airline"}


def test_simias_tools_check_the_runs_of_tau_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = json.loads((Path(REAL) / "agent_simia/tools_seed.json").read_text(encoding="utf-8"))
    given = json.dumps(tools["tools_config_3"]["tools"])
    monkeypatch.setitem(domains(), "airline", domains()["airline"].model_copy(update={"tools": given}))
    dropped = walk(tmp_path, "agent_taubench/gpt-4o-airline.json")
    assert dropped["convert"] == {"unknown_tool": 19}  # they call `think`, which that list lacks
    assert not dropped["validate"] and not read_json(tmp_path / "metrics/data.json")["warnings"].get("E015")


def test_rows_of_llama_factory_with_calls_fit_their_tools(tmp_path: Path) -> None:
    dropped = walk(tmp_path, "sft_sharegpt/glaive_toolcall_en_demo.json")
    assert not dropped["convert"] and set(dropped["validate"]) == {"W101"}
    calls = [
        turn
        for split in ("train", "val", "test")
        for _, row in rows_of(tmp_path / f"data/splits/{split}.jsonl")
        for turn in row["conversations"]
        if turn["from"] == "function_call"
    ]
    assert len(calls) > 90


@pytest.mark.parametrize(
    "file",
    [
        *("agent_tau2_results", "agent_simia", "agent_hermes/few_shot.json", "agent_toolbench"),
        "agent_taubench/MockAirlineDomainEnv-few_shot.jsonl",
    ],
)
def test_what_holds_no_conversation_is_refused_by_name(file: str, tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=rf"{file.split('/')[0]}/[^:]*: its first record has the keys"):
        walk(tmp_path, file)
