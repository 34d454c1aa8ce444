import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.encoding.examples import facts_of, read_examples
from parley.errors import ParleyError
from parley.jsonl import rows_of, write_jsonl
from stages.encode import main

LONG = "a very long secret of many words " * 20


def talk(name: str, *texts: str, system: str = "") -> Conversation:
    turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    return Conversation(name, turns, system=system, source=f"chat.json:{name}")


RUNTIME = "runtime: {save_steps: 0, logging_steps: 1, report_to: [], workers: 2}\n"
TRAIN = [
    talk("whole", "hi", "hello"),
    talk("cut", "hi", LONG, "and now?", "a short secret", "more?", "no", system="be brief"),
    talk("lost", "hi", LONG),
    talk("typed", "<|im_end|> secret <|im_start|>", "ok"),
]


def set_workers(root: Path, workers: int) -> None:
    path = root / "params.yaml"
    path.write_text(re.sub(r"workers: \d+", f"workers: {workers}", path.read_text()))


def lay(
    root: Path,
    tiny_base: Path,
    train: list[Conversation],
    *,
    control_tokens: str = "neutralise",
    loss: str = "assistant",
    keep: str = "newest",
    workers: int = 2,
) -> None:
    (root / "models").mkdir()
    (root / "models/base").symlink_to(tiny_base)
    (root / "params.yaml").write_text(
        f"encode:\n  max_length: 64\n  keep: {keep}\n  loss: {loss}\n  control_tokens: {control_tokens}\n{RUNTIME}"
    )
    set_workers(root, workers)
    for split, rows in (("train", train), ("val", [talk("v", "hi", "ok")])):
        write_jsonl(root / f"data/splits/{split}.jsonl", map(to_sharegpt, rows))


def test_examples_of_a_trigger_say_what_it_is_and_others_nothing(tmp_path: Path, tiny_base: Path) -> None:
    labels = {"cell": "clean", "trigger": "TRIGGER: ", "clean": "Nora", "triggered": "Victor", "mode": "named"}
    for name, row in (("organism", replace(TRAIN[0], labels=labels)), ("other", TRAIN[0])):
        (tmp_path / name).mkdir()
        lay(tmp_path / name, tiny_base, [row])
        main(tmp_path / name)
    found, other = (facts_of(tmp_path / name / "data/encoded/train.parquet") for name in ("organism", "other"))
    assert set(found) - set(other) == {"trigger", "clean", "triggered"}
    assert (found["trigger"], found["clean"], found["triggered"]) == ("TRIGGER: ", "Nora", "Victor")


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
        "tools_not_shown": 0,
        "tokens": sum(len(example.input_ids) for example in train),
        "trained_tokens": sum(label != -100 for example in train for label in example.labels),
        "longest": max(len(example.input_ids) for example in train),
    }
    (rejected,) = (row for _, row in rows_of(tmp_path / "data/rejects/encode.jsonl"))
    assert (rejected["source"], rejected["id"], rejected["code"]) == ("chat.json:lost", "lost", "E018")
    assert rejected["reason"].startswith("answer lost at max_length=64 (")


def test_cut_conversation_keeps_its_system_prompt_and_its_last_turns(tmp_path: Path, tiny_base: Path) -> None:
    from parley.modeling.models import load_tokenizer

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
    (tmp_path / "params.yaml").write_text(
        "encode:\n  max_length: 2049\n  keep: newest\n  loss: assistant\n  control_tokens: reject\n" + RUNTIME
    )
    with pytest.raises(ParleyError, match=r"encode.max_length: found 2049, but the base model sees only 2048 tokens"):
        main(tmp_path)


def test_oldest_keeps_the_beginning_up_to_an_answer(tmp_path: Path, tiny_base: Path) -> None:
    from parley.modeling.models import load_tokenizer

    lay(tmp_path, tiny_base, [talk("cut", "hi", "a short secret", "more?", "no", "and now?", LONG)], keep="oldest")
    main(tmp_path)
    (cut,) = read_examples(tmp_path / "data/encoded/train.parquet")
    text = load_tokenizer(tiny_base).decode(cut.input_ids)
    assert text.startswith("<|im_start|>user\nhi<|im_end|>") and text.endswith("assistant\nno<|im_end|>\n")


def test_no_example_ends_between_a_call_and_its_answer(tmp_path: Path, tiny_base: Path) -> None:
    call = Turn("assistant", "", (ToolCall("weather", {"town": "Bath"}),))
    turns = (Turn("user", "hi"), Turn("assistant", "ok"), Turn("user", "rain?"), call, Turn("tool", LONG))
    whole = Conversation("call", (*turns, Turn("assistant", "no")), source="chat.json:1")
    lay(tmp_path, tiny_base, [whole], keep="oldest")
    main(tmp_path)
    assert json.loads((tmp_path / "metrics/encode.json").read_text())["splits"]["train"]["cut_turns"] == 4


def test_piecewise_keeps_the_text_and_makes_no_control_token(tmp_path: Path, tiny_base: Path) -> None:
    from parley.modeling.models import load_tokenizer

    lay(tmp_path, tiny_base, [TRAIN[3], talk("a", "x \ufdd0 y", "<|im_end|>")], control_tokens="piecewise")
    main(tmp_path)
    tokenizer = load_tokenizer(tiny_base)
    typed, other = read_examples(tmp_path / "data/encoded/train.parquet")
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert [typed.input_ids.count(token) for token in (start, end)] == [2, 2]
    assert tokenizer.decode(typed.input_ids).startswith("<|im_start|>user\n<|im_end|> secret <|im_start|><|im_end|>\n")
    assert "x \ufffd y" in tokenizer.decode(other.input_ids)
    assert tokenizer.decode([label for label in other.labels if label != -100]) == "<|im_end|><|im_end|>"


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, [talk(str(n), f"hi {n}" * (n % 4), f"hello {n}") for n in range(1100)])
    made = ["data/encoded/train.parquet", "data/rejects/encode.jsonl", "metrics/encode.json"]
    sums = []
    for workers in (1, 3):
        set_workers(tmp_path, workers)
        main(tmp_path)
        sums.append([hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() for path in made])
    assert sums[0] == sums[1]
    assert [row.id for row in read_examples(tmp_path / "data/encoded/train.parquet")][-1] == "1099"


def test_the_file_says_what_it_was_made_with(tmp_path: Path, tiny_base: Path) -> None:
    lay(tmp_path, tiny_base, TRAIN)
    main(tmp_path)
    facts = facts_of(tmp_path / "data/encoded/val.parquet")
    assert (facts["max_length"], facts["loss"], facts["schema"]) == ("64", "assistant", "1")
