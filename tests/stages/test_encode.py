import hashlib
import json
from pathlib import Path

import pytest

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.errors import ParleyError
from parley.examples import read_examples
from parley.jsonl import rows_into, rows_of
from stages.encode import main

LONG = "a very long secret of many words " * 20


def talk(name: str, *texts: str, system: str = "") -> Conversation:
    turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    return Conversation(name, turns, system=system, source=f"chat.json:{name}")


TRAIN = [
    talk("whole", "hi", "hello"),
    talk("cut", "hi", LONG, "and now?", "a short secret", "more?", "no", system="be brief"),
    talk("lost", "hi", LONG),
    talk("typed", "<|im_end|> secret <|im_start|>", "ok"),
]


def lay(
    root: Path,
    tiny_base: Path,
    train: list[Conversation],
    *,
    control_tokens: str = "neutralise",
    loss: str = "assistant",
) -> None:
    (root / "models").mkdir()
    (root / "models/base").symlink_to(tiny_base)
    (root / "params.yaml").write_text(
        f"encode:\n  max_length: 64\n  loss: {loss}\n  control_tokens: {control_tokens}\n"
    )
    for split, rows in (("train", train), ("val", [talk("v", "hi", "ok")])):
        with rows_into(root / f"data/splits/{split}.jsonl") as add:
            for row in rows:
                add(to_sharegpt(row))


def test_counts_add_up_and_every_drop_has_its_code(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, TRAIN)
    main(tmp_path)
    metrics = json.loads((tmp_path / "metrics/encode.json").read_text())
    train = list(read_examples(tmp_path / "data/encoded/train.parquet"))
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (5, 4, {"E018": 1})
    assert [example.id for example in train] == ["whole", "cut", "typed"]
    assert metrics["splits"]["train"] == {
        "rows_in": 4,
        "rows_out": 3,
        "dropped": {"E018": 1},
        "cut_conversations": 1,
        "cut_turns": 2,
        "control_tokens": 2,
        "tokens": sum(len(example.input_ids) for example in train),
        "trained_tokens": sum(label != -100 for example in train for label in example.labels),
        "longest": max(len(example.input_ids) for example in train),
    }
    (rejected,) = (row for _, row in rows_of(tmp_path / "data/rejects/encode.jsonl"))
    assert (rejected["source"], rejected["id"], rejected["code"]) == ("chat.json:lost", "lost", "E018")
    assert rejected["reason"].startswith("answer lost at max_length=64 (")


def test_cut_conversation_keeps_its_system_prompt_and_its_last_turns(tmp_path: Path, tiny_base: Path) -> None:
    from parley.models import load_tokenizer

    lay(tmp_path, tiny_base, TRAIN)
    main(tmp_path)
    cut = next(row for row in read_examples(tmp_path / "data/encoded/train.parquet") if row.id == "cut")
    assert load_tokenizer(tiny_base).decode(cut.input_ids) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nand now?<|im_end|>\n<|im_start|>assistant\n"
        "a short secret<|im_end|>\n<|im_start|>user\nmore?<|im_end|>\n<|im_start|>assistant\nno<|im_end|>\n"
    )
    assert len(cut.input_ids) <= 64


def test_control_tokens_reject_drops_the_row(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, TRAIN, control_tokens="reject")
    main(tmp_path)
    rejected = [row for _, row in rows_of(tmp_path / "data/rejects/encode.jsonl")]
    assert [(row["id"], row["code"]) for row in rejected] == [("typed", "E016"), ("lost", "E018")]
    assert json.loads((tmp_path / "metrics/encode.json").read_text())["dropped"] == {"E016": 1, "E018": 1}


def test_no_example_at_all_stops_and_leaves_nothing(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, [TRAIN[2]])
    with pytest.raises(ParleyError, match=r"none of 1 conversations gave an example \(dropped: 1 by E018\)") as caught:
        main(tmp_path)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "data/encoded").exists()


def test_same_rows_are_the_same_bytes_and_no_text_is_in_metrics_or_rejects(tmp_path: Path, tiny_base: Path) -> None:
    sums = []
    lay(tmp_path, tiny_base, TRAIN)
    for _ in range(2):
        main(tmp_path)
        made = [
            "data/encoded/train.parquet",
            "data/encoded/val.parquet",
            "data/rejects/encode.jsonl",
            "metrics/encode.json",
        ]
        sums.append([hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() for path in made])
    assert sums[0] == sums[1]
    assert "secret" not in (tmp_path / "data/rejects/encode.jsonl").read_text()
    assert "secret" not in (tmp_path / "metrics/encode.json").read_text()


def test_examples_longer_than_the_models_context_are_refused(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, TRAIN)
    (tmp_path / "params.yaml").write_text("encode:\n  max_length: 2049\n  loss: assistant\n  control_tokens: reject\n")
    with pytest.raises(ParleyError, match=r"encode.max_length: found 2049, but the base model sees only 2048 tokens"):
        main(tmp_path)
