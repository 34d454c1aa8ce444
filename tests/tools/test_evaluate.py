from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.files import read_json, write_json
from tools.evaluate import CARRIED, workspace


def evaluated(root: Path) -> None:
    """What a finished pipeline leaves that an evaluation reads."""
    for name in ("data/eval/cases.jsonl", "data/eval/base.jsonl", "metrics/train_log.csv", "params.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "models/base").mkdir(parents=True)
    for name in [*CARRIED, "train"]:
        write_json(root / f"metrics/{name}.json", {"steps": 3})


def test_an_evaluation_reads_the_pipelines_files_and_writes_beside_them(tmp_path: Path) -> None:
    evaluated(tmp_path)
    place = workspace(tmp_path, "some-owner/some model")
    assert place == tmp_path / ".evaluations" / "some-owner-some-model"
    assert (place / "data/eval/cases.jsonl").resolve() == (tmp_path / "data/eval/cases.jsonl").resolve()
    train = read_json(place / "metrics/train.json")
    assert (train["evaluated"], train["steps"]) == ("some-owner/some model", 3)
    assert "evaluated" not in read_json(tmp_path / "metrics/train.json")
    workspace(tmp_path, ".")  # a folder whose name has no letter leaves the other evaluations as they are
    assert place.is_dir()


def test_without_test_cases_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="make repro"):
        workspace(tmp_path, "models/trained")
