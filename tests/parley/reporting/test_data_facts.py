"""The figures of a small walk, counted by hand."""

from collections import Counter
from pathlib import Path

import pytest

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.encoding.examples import Example, write_examples
from parley.errors import ParleyError
from parley.jsonl import rows_into, write_jsonl
from parley.reporting.data_facts import Drop, data_facts
from parley.stage import write_counts
from tools.data_report import write

DAY = 86_400_000


def lay(root: Path) -> Path:
    metrics = root / "metrics"
    (root / "params.yaml").write_text("recipe: persona\n")
    write_counts(metrics / "ingest.json", rows_in=20, rows_out=13, dropped=Counter({"duplicate message": 7}))
    write_counts(
        metrics / "convert.json", rows_in=13, rows_out=12, dropped=Counter(bot=1), people=3, redactions={"names": 4}
    )
    sizes = {"train": {"conversations": 3, "answers": 4, "groups": 3, "cases": 0}}
    write_counts(metrics / "data.json", rows_in=6, rows_out=5, dropped=Counter(W101=1), splits=sizes)
    write_counts(metrics / "encode.json", rows_in=4, rows_out=4, dropped=Counter())
    talks = {
        "train": [talk(0, "Robin", "hi"), talk(1, "Robin", "hello", "hello"), talk(2, "Kim", "hey")],
        "val": [talk(3, "Robin", "hi")],
        "test": [talk(4, "Robin", "planted words")],
    }
    for split, each in talks.items():
        write_jsonl(root / f"data/splits/{split}.jsonl", map(to_sharegpt, each))
        examples = [Example(conversation.id, [1] * 5, [-100] * 5) for conversation in each]
        write_examples(root / f"data/encoded/{split}.parquet", examples)
    rejects = {
        "ingest": [("Ana Ruiz.json:1", "duplicate message", "also at Ana Ruiz (2).json:4")] * 7,
        "convert": [("a.json:9", "bot", "written by a bot")],
        "validate": [("a.json:3", "W101", "duplicate of c0")],
        "encode": [],
    }
    for stage, dropped in rejects.items():
        with rows_into(root / f"data/rejects/{stage}.jsonl") as add:
            for source, code, reason in dropped:
                add({"source": source, "id": "", "code": code, "reason": reason})
    return root


def talk(number: int, author: str, *answers: str) -> Conversation:
    turns = [turn for answer in answers for turn in (Turn("user", "q"), Turn("assistant", answer))]
    return Conversation(f"c{number}", tuple(turns), group=f"g{number}", time=number * DAY, author=author)


def test_figures_are_those_of_the_files(tmp_path: Path) -> None:
    found = data_facts(lay(tmp_path))
    assert [(name, each["in"], each["out"]) for name, each in found["walk"]] == [
        ("ingest", 20, 13),
        ("convert", 13, 12),
        ("validate", 6, 5),
        ("encode", 4, 4),
    ]
    assert found["people"] == [("Robin", 4, 5), ("Kim", 1, 1)]
    assert found["time"] == {"first": "1970-01-01", "last": "1970-01-05"}
    spreads = {title: spread for title, spread, _ in found["lengths"]}
    assert spreads["Turns of a conversation"] == {"least": 2, "median": 2, "95 %": 4, "most": 4}
    assert spreads["Tokens of an example (train and val)"]["most"] == 5
    assert found["splits"] == [("train", 3, 4, 3, 0)]
    assert found["overlap"] == [("train and val", 0, 1, 1), ("train and test", 0, 0, 0), ("val and test", 0, 0, 0)]
    assert found["duplicates"][:2] == [
        ("messages that two exports hold", 7),
        ("conversations that are the same as an earlier one", 1),
    ]


def test_drops_name_a_few_rows_but_no_raw_file(tmp_path: Path) -> None:
    places = [f"data/rejects/ingest.jsonl:{number}" for number in range(1, 6)]
    assert data_facts(lay(tmp_path))["drops"] == [
        Drop("ingest", "duplicate message", 7, "", places),
        Drop("convert", "bot", 1, "written by a bot", ["a.json:9"]),
        Drop("validate", "W101", 1, "duplicate of c0", ["a.json:3"]),
    ]


def test_the_page_holds_the_figures_no_text_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    path = write(lay(tmp_path))
    page = path.read_text(encoding="utf-8")
    assert "<h1>4 examples from 20 records</h1>" in page
    assert "data/rejects/ingest.jsonl:5" in page and "Robin" in page
    assert "planted words" not in page and "Ruiz" not in page
    assert page.count('<rect class="bar"') > 4 and "<script" not in page and "://" not in page
    write(tmp_path)
    assert path.read_text(encoding="utf-8") == page


def test_before_the_walk_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"metrics/ingest.json is not there: run `dvc repro`"):
        data_facts(tmp_path)
