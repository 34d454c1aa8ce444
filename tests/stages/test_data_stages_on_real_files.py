"""ingest, convert and validate on real files, which are not in git: every row is used or explained."""

import os
from pathlib import Path

import pytest
from workspace import set_params

from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from stages import convert, ingest, validate

REAL = os.environ.get("PARLEY_REAL_DATA", "")
pytestmark = pytest.mark.skipif(not REAL, reason="PARLEY_REAL_DATA names no folder")

FILES = [
    ("discord_dce_channel/channel.json", "900000000000000018", "time"),
    ("sft_sharegpt/dummy_conversation.json", "", "group"),
    ("sft_openai_messages/toy_chat_fine_tuning.jsonl", "", "group"),
    ("sft_alpaca/identity.json", "", "group"),
]


def prepare(root: Path, file: str, target: str, split: str, *, min_split: int) -> None:
    changes = {"ingest__input": f"{REAL}/{file}", "convert__target": target, "validate__split": split}
    set_params(root, **changes, validate__min_split=min_split)
    ingest.main(root)
    convert.main(root)


@pytest.mark.parametrize(("file", "target", "split"), FILES)
def test_a_real_file_becomes_splits_and_every_row_is_explained(
    file: str, target: str, split: str, tmp_path: Path
) -> None:
    prepare(tmp_path, file, target, split, min_split=1)
    validate.main(tmp_path)
    for metrics, stage in (("ingest", "ingest"), ("convert", "convert"), ("data", "validate")):
        counts = read_json(tmp_path / f"metrics/{metrics}.json")
        rejected = sum(1 for _ in rows_of(tmp_path / f"data/rejects/{stage}.jsonl"))
        assert counts["in"] == counts["out"] + rejected > 0
    assert all(any(rows_of(tmp_path / f"data/splits/{name}.jsonl")) for name in ("train", "val", "test"))


def test_a_real_file_too_small_to_split_stops_with_a_way_out(tmp_path: Path) -> None:
    prepare(tmp_path, *FILES[0], min_split=5)
    with pytest.raises(ParleyError, match=r"too small to split: of 11 conversations.*lower validate\.min_split"):
        validate.main(tmp_path)
