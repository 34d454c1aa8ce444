"""train: what it publishes, that it resumes to the byte, and what it refuses."""

import csv
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workspace import made_up, set_params, start

from parley.encoding.examples import Example, write_examples
from parley.errors import ParleyError
from parley.files import read_json, sha256_tree
from stages import train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
OUTPUTS = ("models/trained", "metrics/train.json", "metrics/train_log.csv")

MODES: dict[str, dict[str, Any]] = {
    "lora": {"train__lora__dropout": 0.1, "train__precision": "bf16"},
    "full": {"train__mode": "full", "train__packing": False, "train__accumulation": 2, "train__lr": 0.001},
}


@pytest.fixture(scope="module")
def undisturbed(made_workspace: Make) -> dict[str, Path]:
    """A finished run of each mode."""
    found = {}
    for mode, changes in MODES.items():
        found[mode] = made_workspace(**changes)
        train.main(found[mode])
    return found


def sums(root: Path) -> dict[str, str]:
    return {name: sha256_tree(root / name) for name in OUTPUTS}


def run_and_kill(root: Path, step: int, number: int) -> int:
    """Runs train in a process of its own, sends it a signal after a step's line, and returns its exit status."""
    with start(root, "train") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(rf"train: step {step}/", line):
                process.send_signal(number)
                break
        process.stderr.read()
        return process.wait()


def log_of(root: Path) -> list[dict[str, str]]:
    with (root / "metrics/train_log.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_adapter_is_published_with_all_that_it_needs(undisturbed: dict[str, Path]) -> None:
    trained = undisturbed["lora"] / "models/trained"
    assert sorted(path.name for path in trained.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_info.json",
    ]
    config = json.loads((trained / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "parley-tiny"
    assert config["target_modules"] == sorted(config["target_modules"])
    info = read_json(trained / "training_info.json")
    assert info["model_name"] == "parley-tiny" and info["model_family"] == "llama"
    assert info["training_completed"] is True
    assert info["dataset_info"]["max_length"] == max(len(row.input_ids) for row in made_up("train", 20, seed=1))
    assert info["lora_config"]["r"] == 4 and info["chat_template"]
    assert set(info["versions"]) >= {"torch", "transformers", "trl", "peft"}


def test_three_lines_of_peft_load_the_adapter(undisturbed: dict[str, Path]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    root = undisturbed["lora"]
    base = AutoModelForCausalLM.from_pretrained(root / "models/base")
    model = PeftModel.from_pretrained(base, root / "models/trained")
    assert any(float(weight.abs().max()) > 0 for name, weight in model.named_parameters() if "lora_B" in name)


def test_full_model_loads_in_plain_transformers(undisturbed: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained = undisturbed["full"] / "models/trained"
    AutoModelForCausalLM.from_pretrained(trained)
    assert AutoTokenizer.from_pretrained(trained).chat_template
    assert not list(trained.glob("*.bin")) and not list(trained.glob("*.pt*"))


def test_metrics_say_what_was_trained(undisturbed: dict[str, Path]) -> None:
    rows = made_up("train", 20, seed=1)
    found = read_json(undisturbed["lora"] / "metrics/train.json")
    assert found["base"]["name"] == "parley-tiny" and found["precision"] == "bf16"
    assert found["tokens"] == 2 * sum(len(row.input_ids) for row in rows)
    assert found["trained_tokens"] == 2 * sum(len(row.input_ids) - len(row.input_ids) // 2 for row in rows)
    assert [row["epoch"] for row in found["eval"]] == [0, 1, 2]
    assert found["eval"][2]["loss"] < found["eval"][0]["loss"]
    assert found["eval"][0]["tokens"] == sum(
        len(row.input_ids) - len(row.input_ids) // 2 for row in made_up("val", 5, seed=2)
    )
    assert found["parameters"]["trained"] < found["parameters"]["all"] / 5
    log = log_of(undisturbed["lora"])
    assert [int(row["step"]) for row in log] == list(range(1, found["steps"] + 1))
    assert all(float(row["loss"]) > 0 and float(row["grad_norm"]) > 0 for row in log)
    assert not (undisturbed["lora"] / ".checkpoints").exists()


def test_first_evaluation_is_the_plain_loss_of_each_example_alone(undisturbed: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(undisturbed["full"] / "models/base")
    nats, tokens = 0.0, 0
    for row in made_up("val", 5, seed=2):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
        trained = sum(label != -100 for label in row.labels)
        nats, tokens = nats + float(loss) * trained, tokens + trained
    found = read_json(undisturbed["full"] / "metrics/train.json")["eval"][0]
    assert found["loss"] == pytest.approx(nats / tokens, rel=1e-5)


def test_loss_is_the_mean_over_trained_tokens_however_batches_are_cut(made_workspace: Make) -> None:
    """Two sequences at once, or one after the other added up: the same steps."""
    losses = []
    for batch, accumulation in ((2, 1), (1, 2)):
        root = made_workspace(train__batch_size=batch, train__accumulation=accumulation)
        train.main(root)
        losses.append([float(row["loss"]) for row in log_of(root)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_kill_9_then_run_again_ends_with_the_same_bytes(
    undisturbed: dict[str, Path], made_workspace: Make, capsys: pytest.CaptureFixture
) -> None:
    root = made_workspace(**MODES["lora"], runtime__save_steps=3, runtime__logging_steps=1)
    assert run_and_kill(root, 8, signal.SIGKILL) == -signal.SIGKILL
    assert not (root / "models/trained").exists()
    train.main(root)
    assert re.search(r"goes on from .*checkpoint-6$", capsys.readouterr().out, re.M)
    assert sums(root) == sums(undisturbed["lora"])


def test_a_damaged_checkpoint_is_named_and_an_older_one_gives_the_same_bytes(
    undisturbed: dict[str, Path], made_workspace: Make, capsys: pytest.CaptureFixture
) -> None:
    root = made_workspace(**MODES["full"], runtime__save_steps=2, runtime__logging_steps=1)
    assert run_and_kill(root, 8, signal.SIGKILL) == -signal.SIGKILL
    (optimizer,) = root.glob(".checkpoints/*/checkpoint-6/optimizer.pt")
    content = bytearray(optimizer.read_bytes())
    content[len(content) // 2] ^= 1
    optimizer.write_bytes(content)
    train.main(root)
    said = capsys.readouterr()
    assert "checkpoint-6 is damaged (optimizer.pt has changed)" in said.err
    assert re.search(r"goes on from .*checkpoint-4$", said.out, re.M)
    assert sums(root) == sums(undisturbed["full"])


def test_sigterm_saves_and_the_next_run_goes_on(
    undisturbed: dict[str, Path], made_workspace: Make, capsys: pytest.CaptureFixture
) -> None:
    root = made_workspace(**MODES["lora"], runtime__save_steps=0, runtime__logging_steps=1)
    assert run_and_kill(root, 5, signal.SIGTERM) == 143
    assert not (root / "models/trained").exists()

    set_params(root, **MODES["lora"], train__lr=0.001)
    train.main(root)
    said = capsys.readouterr()
    assert "starts afresh" in said.err and "(train differ)" in said.err
    assert "goes on" not in said.out

    set_params(root, **MODES["lora"])
    train.main(root)
    assert re.search(r"goes on from .*checkpoint-[5-7]$", capsys.readouterr().out, re.M)
    assert sums(root) == sums(undisturbed["lora"])


def test_runtime_changes_no_output_byte(undisturbed: dict[str, Path], made_workspace: Make) -> None:
    root = made_workspace(**MODES["lora"], runtime__save_steps=3, runtime__logging_steps=2)
    train.main(root)
    assert sums(root) == sums(undisturbed["lora"])


def test_numbers_that_are_not_finite_stop_the_run_and_name_the_rows(made_workspace: Make) -> None:
    root = made_workspace(train__lr=1e30)
    with pytest.raises(ParleyError, match=r"step \d+: loss .* not finite.*Examples of this step: train-\d+"):
        train.main(root)
    assert not (root / "models/trained").exists() and not (root / "metrics/train.json").exists()


def test_qlora_trains_an_adapter_on_a_4_bit_base(made_workspace: Make) -> None:
    root = made_workspace(train__quantization="nf4", train__epochs=1)
    train.main(root)
    found = read_json(root / "metrics/train.json")
    assert found["quantization"] == "nf4"
    assert found["eval"][1]["loss"] < found["eval"][0]["loss"]
    from safetensors.torch import load_file

    weights = load_file(root / "models/trained/adapter_model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float32"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__sft": {"learning_rate": 1.0}}, "train.sft.learning_rate: parley sets this: set train.lr instead"),
        ({"train__sft": {"max_grad_nrm": 1.0}}, "not a field of trl.SFTConfig; did you mean 'max_grad_norm'"),
        ({"train__sft": {"output_dir": "x"}}, "train.sft.output_dir: parley sets this"),
        ({"train__sft": {"optim": "adamm"}}, "params.yaml: train: .*adamm"),
        ({"train__lora__lora_alpha": 3}, "train.lora.lora_alpha: parley sets this: set train.lora.alpha instead"),
        ({"train__lora__use_rslor": True}, "did you mean 'use_rslora'"),
        ({"train__lora__target_modules": ["q_prj"]}, "q_prj"),
        ({"train__mode": "full", "train__quantization": "nf4"}, "nf4 freezes the base, train.mode full trains it"),
        ({"train__precision": "fp16"}, "fp16 needs a GPU"),
        ({"train__lr": "fast"}, "train.lr: found 'fast'"),
    ],
)
def test_wrong_settings_are_refused_by_name(made_workspace: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParleyError, match=message):
        train.main(made_workspace(**changes))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no example"),
        ([Example("long", [1, 99_999], [-100, 99_999])], "example long has token 99999, the base model knows"),
        ([Example("silent", [1, 2, 3], [1, -100, -100])], "example silent has no trained token"),
    ],
)
def test_data_that_cannot_train_is_refused(made_workspace: Make, rows: list[Example], message: str) -> None:
    root = made_workspace()
    write_examples(root / "data/encoded/train.parquet", rows)
    with pytest.raises(ParleyError, match=message):
        train.main(root)


def test_any_field_of_sft_and_lora_passes(made_workspace: Make) -> None:
    root = made_workspace(train__sft={"max_steps": 2, "max_grad_norm": 0.5}, train__lora__use_rslora=True)
    train.main(root)
    assert read_json(root / "metrics/train.json")["steps"] == 2
    assert json.loads((root / "models/trained/adapter_config.json").read_text())["use_rslora"] is True
