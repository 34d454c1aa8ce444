"""Other people's dialogues and labelled ends of turns through the recipe: all rows are used, or the reason is given."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from workspace import set_params

from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from parley.params import read_yaml
from stages import convert, generate, ingest, score, validate

REAL = os.environ.get("PARLEY_REAL_DATA", "")
RECIPE = read_yaml(Path(__file__).parents[2] / "recipes/turn_detector.yaml")
pytestmark = pytest.mark.skipif(not REAL, reason="PARLEY_REAL_DATA names no folder")


def walk(root: Path, file: str, **more: float) -> Counter[tuple[str, str]]:
    """How many turns of each language have ended and have not; counts are held against the rejects."""
    sections = ("convert", "validate", "generate", "score")
    changes = {f"{part}__{key}": value for part in sections for key, value in RECIPE[part].items()}
    changes |= {"ingest__input": f"{REAL}/{file}", "validate__test_file": "", "validate__min_split": 1, **more}
    set_params(root, **changes, score__resamples=200)
    for stage, metrics in ((ingest, "ingest"), (convert, "convert"), (validate, "data")):
        stage.main(root)
        counts = read_json(root / f"metrics/{metrics}.json")
        name = stage.__name__.rpartition(".")[2]
        rejected = Counter(row["code"] for _, row in rows_of(root / f"data/rejects/{name}.jsonl"))
        assert counts["in"] == counts["out"] + rejected.total() > 0
        assert rejected == counts["dropped"]
    labels = [
        row["labels"] for part in ("train", "val", "test") for _, row in rows_of(root / f"data/splits/{part}.jsonl")
    ]
    return Counter((one["language"], one["end_of_turn"]) for one in labels)


def scored(root: Path, base: Path) -> dict:
    """The scorecard of an untrained model against itself."""
    (root / "models").mkdir()
    (root / "models/base").symlink_to(base)
    shutil.copytree(base, root / "models/merged")
    (root / "models/merged/base.json").unlink()
    generate.main(root, "base")
    generate.main(root, "tuned")
    score.main(root)
    return read_json(root / "metrics/scores.json")["recipe"]


def test_taskmasters_dialogues_are_cut_in_english(tmp_path: Path) -> None:
    assert walk(tmp_path, "turn_dialogue/data_07.json") == {("en", "yes"): 284, ("en", "no"): 374}


def test_kdconvs_dialogues_are_cut_between_characters(tmp_path: Path) -> None:
    found = walk(tmp_path, "turn_dialogue/kdconv_film_dev.json")
    assert found == {("zh", "yes"): 1295, ("zh", "no"): 2565}
    lengths = {
        len(row["conversations"][-1]["value"])
        for _, row in rows_of(tmp_path / "data/splits/train.jsonl")
        if row["labels"]["end_of_turn"] == "no"
    }
    assert {2, 3, 4, 5} <= lengths


def test_labelled_ends_reach_the_scorecard_with_the_threshold_of_all_languages(tmp_path: Path, tiny_base: Path) -> None:
    found = walk(tmp_path, "turn_eou", validate__test_fraction=0.4)
    assert (found["en", "yes"], found["en", "no"], found["es", "yes"], found["es", "no"]) == (21, 12, 5, 7)
    recipe = scored(tmp_path, tiny_base)
    assert "fewer than 200" in recipe["val"]["threshold"]["en"]["about"]
    assert recipe["test"]["roc_auc"]["all"]["difference"]["value"] == 0


def test_labels_of_one_kind_only_are_not_scored_and_say_why(tmp_path: Path, tiny_base: Path) -> None:
    assert walk(tmp_path, "turn_eou/regressions.jsonl").keys() == {("en", "yes"), ("und", "yes")}
    recipe = scored(tmp_path, tiny_base)
    assert recipe["test"]["roc_auc"]["all"]["not_scored"] == "all cases are positive"
    assert recipe["test"]["tpr"]["all"]["not_scored"].startswith("no threshold: the turns of val are all of one kind")


def test_one_dialogue_alone_is_too_small_to_split(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="too small to split: of 27 conversations train gets 0"):
        walk(tmp_path, "turn_dialogue/sample.json")
