"""Other people's dialogues and labelled ends of turns through the recipe: all rows are used, or the reason is given."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from workspace import of_recipe, set_params, walk_data

from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from stages import generate, score

REAL = os.environ.get("PARLEY_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not REAL, reason="PARLEY_REAL_DATA names no folder")


def walk(root: Path, file: str, **more: float) -> Counter[tuple[str, str]]:
    """How many turns of each language have ended and have not."""
    changes = of_recipe("turn_detector", "convert", "validate", "score")
    changes |= {"ingest__input": f"{REAL}/{file}", "validate__test_file": "", "validate__min_split": 1, **more}
    set_params(root, **changes, score__resamples=200)
    walk_data(root)
    rows = [row for part in ("train", "val", "test") for _, row in rows_of(root / f"data/splits/{part}.jsonl")]
    return Counter((row["labels"]["language"], row["labels"]["end_of_turn"]) for row in rows)


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
    with pytest.raises(ParleyError, match="too small to split: of 27 conversations in one group train gets 0"):
        walk(tmp_path, "turn_dialogue/sample.json")
