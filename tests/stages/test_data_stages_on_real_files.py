"""ingest, convert and validate on real files, which are not in git: every row is used or explained."""

import os
from collections import Counter
from pathlib import Path

import pytest
from workspace import set_params, walk_data

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


@pytest.mark.parametrize(("file", "target", "split"), FILES)
def test_a_real_file_becomes_splits_and_every_row_is_explained(
    file: str, target: str, split: str, tmp_path: Path
) -> None:
    prepare(tmp_path, file, target, split, min_split=1)
    walk_data(tmp_path)
    assert all(any(rows_of(tmp_path / f"data/splits/{name}.jsonl")) for name in ("train", "val", "test"))


def test_a_real_file_too_small_to_split_stops_with_a_way_out(tmp_path: Path) -> None:
    prepare(tmp_path, *FILES[0], min_split=5)
    with pytest.raises(ParleyError, match=r"too small to split: of 11 conversations.*lower validate\.min_split"):
        walk_data(tmp_path)


ARROWS = {"ingest": "ingest", "convert": "convert", "data": "validate"}  # metrics file -> stage


@pytest.mark.slow
def test_every_real_file_walks_to_the_splits_or_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints a table of what became of each file; `pytest -s` or a failure shows it."""
    threads = Path(REAL) / "discord_api_threads"  # one archive in many files
    found = sorted(path for path in Path(REAL).rglob("*") if path.is_file() and path.parent != threads)
    table, formats = [], Counter[str]()
    for number, path in enumerate([threads, *found]):
        root = tmp_path / str(number)
        root.mkdir()
        line, format = walked(root, path)
        table.append(f"{path.relative_to(REAL)!s:60} {line}")
        formats[format] += 1
    capsys.readouterr()
    print("\n".join(table))
    assert formats.pop("refused") > 300  # the torture suite's
    assert formats == {
        **{"alpaca": 3, "discord": 2, "discord_api": 1, "openai": 2, "sharegpt": 6, "tool_log": 1},
        **{"eou_labels": 3, "kdconv": 1, "taskmaster": 2},
    }


def walked(root: Path, path: Path) -> tuple[str, str]:
    """(what became of the file at each arrow, its format or "refused"); whatever drops rows must say how many."""
    changes = {"validate__min_split": 1, "validate__split": "group", "validate__max_reject_ratio": 1.0}
    profile = {"tool_log": "agent"} | dict.fromkeys(("taskmaster", "kdconv", "eou_labels"), "turn_detector")
    end, format = "", "refused"
    try:
        set_params(root, ingest__input=str(path), **changes)
        ingest.main(root)
        (format,) = read_json(root / "metrics/ingest.json")["files"]
        authors = Counter(row["author"] for _, row in rows_of(root / "data/interim/messages.jsonl"))
        target = authors.most_common(1)[0][0] if authors else ""
        changes |= {"validate__profile": profile.get(format, "chat")}
        set_params(root, ingest__input=str(path), convert__target=target, **changes)
        convert.main(root)
        validate.main(root)
    except ParleyError as error:
        end = f"stopped: {str(error).replace(f'{REAL}/', '')[:200]}"
        assert path.name in str(error) or format != "refused"
    line = []
    for metrics, stage in ARROWS.items():
        if (root / f"metrics/{metrics}.json").is_file():
            counts = read_json(root / f"metrics/{metrics}.json")
            assert counts["in"] == counts["out"] + sum(counts["dropped"].values()) > 0
            dropped = ", ".join(f"{code} {count}" for code, count in counts["dropped"].items())
            line.append(f"{stage} {counts['in']} → {counts['out']} ({dropped or 'none dropped'})")
    return f"{format:11} {'; '.join([*line, end] if end else line)}", format
