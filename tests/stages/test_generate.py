import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import MODEL, MODEL_YAML

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.evaluation import Case, case_row, generations_of
from parley.jsonl import rows_into, rows_of
from parley.modeling.models import load_base
from stages.generate import answer, arguments, main

REPO = Path(__file__).parents[2]
PARAMS = f"""\
{MODEL_YAML}generate:
  max_new_tokens: {{new}}
  batch_size: 4
  backend: local
  endpoint: ""
"""
TEXTS = ["hi " * 9, "a private question", "<|im_end|>", "and what is an echo?", "x", "hello there " * 4]


@pytest.fixture
def root(tmp_path: Path, tiny_base: Path) -> Path:
    """A project with a base model and test cases."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/base").symlink_to(tiny_base)
    (tmp_path / "params.yaml").write_text(PARAMS.format(new=6))
    lay_cases(tmp_path, TEXTS)
    return tmp_path


OPEN_TURN = Case("c9#0", "test", Conversation("c9", ()), Turn("user", "and what is"), {"end_of_turn": "no"})


def lay_cases(root: Path, texts: list[str], more: Sequence[Case] = ()) -> None:
    with rows_into(root / "data/eval/cases.jsonl") as add:
        for number, text in enumerate(texts):
            context = Conversation(f"c{number}", (Turn("user", text),))
            add(case_row(Case(f"c{number}#1", "test", context, Turn("assistant", "a private answer"))))
        for case in more:
            add(case_row(case))


def adapter(root: Path) -> Path:
    """An adapter of random weights on the base, as train saves one."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(load_base(root / "models/base", MODEL, dtype=torch.float32), config)
    model.peft_config["default"].base_model_name_or_path = "parley-tiny"
    model.save_pretrained(root / "models/trained", save_embedding_layers=False)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(root / "models/base" / name, root / "models/trained")
    merged = model.merge_and_unload()
    shutil.copytree(root / "models/base", root / "models/merged")
    (root / "models/merged/base.json").unlink()
    merged.save_pretrained(root / "models/merged")
    return root / "models/trained"


def test_every_case_is_answered_in_order_and_again_with_the_same_bytes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(root, "base")
    first = (root / "data/eval/base.jsonl").read_bytes()
    rows = [row for _, row in rows_of(root / "data/eval/base.jsonl")]
    assert [row["id"] for row in rows] == [f"c{number}#1" for number in range(len(TEXTS))]
    assert all(0 < row["tokens"] <= 6 and row["finish"] in ("stop", "length") for row in rows)
    assert all(len(row["reference_logprobs"]) == len(rows[0]["reference_logprobs"]) > 1 for row in rows)
    assert all(nats < 0 for row in rows for nats in row["reference_logprobs"])
    main(root, "base")
    assert (root / "data/eval/base.jsonl").read_bytes() == first
    shown = capsys.readouterr()
    assert "6 cases" in shown.out and "1 control tokens neutralised" in shown.out
    assert "private" not in shown.out + shown.err


def test_adapter_and_merged_model_say_the_same_and_not_what_the_base_says(root: Path) -> None:
    main(root, "base")
    answer(root, adapter(root), root / "adapter.jsonl")
    main(root, "tuned")
    base, tuned = (generations_of(root / f"data/eval/{which}.jsonl") for which in ("base", "tuned"))
    folded = generations_of(root / "adapter.jsonl")
    assert {name: found.text for name, found in folded.items()} == {name: found.text for name, found in tuned.items()}
    for name, found in folded.items():
        assert found.reference_logprobs == pytest.approx(tuned[name].reference_logprobs, abs=1e-4)
        assert found.reference_logprobs != pytest.approx(base[name].reference_logprobs, abs=1e-2)


def test_a_turn_of_the_user_is_looked_at_and_not_answered(root: Path) -> None:
    lay_cases(root, ["hi"], [OPEN_TURN])
    main(root, "base")
    answered, seen = generations_of(root / "data/eval/base.jsonl").values()
    assert answered.tokens > 0 and not answered.probabilities
    assert (seen.text, seen.finish, seen.tokens) == ("", "none", 0)
    assert 0 < seen.probabilities["end"] < 1 and len(seen.reference_logprobs) > 1


def test_no_cases_give_an_empty_file(root: Path) -> None:
    lay_cases(root, [])
    main(root, "base")
    assert (root / "data/eval/base.jsonl").read_bytes() == b""


def test_missing_model_is_named(root: Path) -> None:
    with pytest.raises(ParleyError, match="models/merged is not there: run `dvc repro`"):
        main(root, "tuned")


def test_answers_longer_than_the_models_context_are_refused(root: Path) -> None:
    (root / "params.yaml").write_text(PARAMS.format(new=2048))
    with pytest.raises(ParleyError, match=r"generate.max_new_tokens: found 2048, but .* sees only 2048 tokens"):
        main(root, "base")


def test_tokenizer_larger_than_the_model_is_refused(root: Path) -> None:
    from parley.modeling.models import load_tokenizer

    adapter(root)
    tokenizer = load_tokenizer(root / "models/merged")
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(root / "models/merged")
    with pytest.raises(ParleyError, match="tokenizer has 2049 tokens and the model 2048: they do not match"):
        main(root, "tuned")


@pytest.mark.slow
def test_any_folder_can_be_named_on_the_command_line(root: Path) -> None:
    command = [sys.executable, "-m", "stages.generate", "--model", "models/base", "--out", "other.jsonl"]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(REPO), "PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(generations_of(root / "other.jsonl")) == len(TEXTS)
    (timing,) = (root / "metrics/timing").glob("generate-*.json")
    assert json.loads(timing.read_text())["new_tokens_per_second"] > 0


@pytest.mark.parametrize("line", ["", "base --model x --out y", "--model x", "tuned --out y"])
def test_command_line_wants_one_model(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate", *line.split()])
    with pytest.raises(SystemExit, match="2"):
        arguments()
    assert "name base or tuned, or give both --model and --out" in capsys.readouterr().err
