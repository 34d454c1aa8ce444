"""train: each epoch's weights, the best of them, the early end, and going on from what was trained before."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_train import run_and_kill, sums
from workspace import made_up

import parley
from parley.encoding.examples import Example, write_examples
from parley.errors import ParleyError
from parley.files import read_json, sha256_file, sha256_tree
from parley.modeling.models import load_tokenizer, read_base, write_base
from stages import merge, train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
VAL = [
    Example(
        row.id, [token + 600 for token in row.input_ids], [label + 600 if label >= 0 else label for label in row.labels]
    )
    for row in made_up("val", 5, seed=2)
]
KEPT: dict[str, Any] = {"train__keep_epochs": True, "train__best_by": "val_loss", "train__epochs": 3}
KEPT |= {"train__scheduler": "constant", "train__warmup_ratio": 0.0}


@pytest.fixture(scope="module")
def make(made_workspace: Make) -> Make:
    """Makes a workspace whose validation split has none of the training split's tokens: its loss rises."""

    def make(**changes: Any) -> Path:
        root = made_workspace(**changes)
        write_examples(root / "data/encoded/val.parquet", VAL)
        return root

    return make


@pytest.fixture(scope="module")
def kept(make: Make) -> Path:
    """A finished run of three epochs, each kept."""
    root = make(**KEPT)
    train.main(root)
    return root


def losses(root: Path) -> list[float]:
    return [row["loss"] for row in read_json(root / "metrics/train.json")["eval"]]


def test_every_epoch_is_kept_and_the_best_is_published(kept: Path) -> None:
    epochs = kept / "models/trained/epochs"
    assert sorted(path.name for path in epochs.iterdir()) == ["1", "2", "3"]
    best = min((1, 2, 3), key=lambda epoch: losses(kept)[epoch])
    assert best == 1 and read_json(kept / "metrics/train.json")["published_epoch"] == best
    weights = {n: sha256_file(epochs / str(n) / "adapter_model.safetensors") for n in (1, 2, 3)}
    assert len(set(weights.values())) == 3
    assert sha256_file(kept / "models/trained/adapter_model.safetensors") == weights[best]


def test_an_epochs_adapter_in_plain_peft_has_that_epochs_validation_loss(kept: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(kept / "models/base")
    model = PeftModel.from_pretrained(base, kept / "models/trained/epochs/2").eval()
    nats, tokens = 0.0, 0
    for row in VAL:
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
        trained = sum(label != -100 for label in row.labels)
        nats, tokens = nats + float(loss) * trained, tokens + trained
    assert losses(kept)[2] == pytest.approx(nats / tokens, rel=1e-4)


def test_kept_epochs_come_back_with_a_resumed_run(kept: Path, make: Make) -> None:
    root = make(**KEPT, runtime__save_steps=2, runtime__logging_steps=1)
    steps = read_json(kept / "metrics/train.json")["steps"]
    assert run_and_kill(root, steps - 1, signal.SIGKILL) == -signal.SIGKILL
    train.main(root)
    assert sums(root) == sums(kept)


def test_training_ends_early_without_a_better_epoch_and_publishes_the_best(kept: Path, make: Make) -> None:
    root = make(**KEPT, train__patience=1)
    train.main(root)
    found = read_json(root / "metrics/train.json")
    assert found["published_epoch"] == 1 and [row["epoch"] for row in found["eval"]] == [0, 1, 2]
    adapter = "models/trained/adapter_model.safetensors"
    assert sha256_file(root / adapter) == sha256_file(kept / adapter)


def test_only_the_best_is_left_where_epochs_are_not_kept(kept: Path, make: Make) -> None:
    root = make(**{**KEPT, "train__keep_epochs": False})
    train.main(root)
    assert not (root / "models/trained/epochs").exists()
    adapter = "models/trained/adapter_model.safetensors"
    assert sha256_file(root / adapter) == sha256_file(kept / adapter)


def test_training_goes_on_from_a_kept_epoch(kept: Path, make: Make) -> None:
    root = make(train__start_from="from", train__epochs=1, train__lr=1e-6)
    shutil.copytree(kept / "models/trained/epochs/1", root / "from")
    train.main(root)
    assert losses(root)[0] == pytest.approx(losses(kept)[1], rel=1e-6)


def test_full_models_are_kept_and_gone_on_from_and_merge_leaves_them_out(make: Make) -> None:
    full = {"train__mode": "full", "train__lr": 0.001, "train__epochs": 1}
    first = make(**full, train__keep_epochs=True)
    train.main(first)
    merge.main(first)
    assert not (first / "models/merged/epochs").exists()
    tokenizer, _, _ = parley.load_finetuned_model(first / "models/trained/epochs/1")
    assert tokenizer.chat_template == load_tokenizer(first / "models/merged").chat_template
    root = make(**full, train__start_from="from")
    shutil.copytree(first / "models/trained/epochs/1", root / "from")
    train.main(root)
    assert losses(root)[0] == pytest.approx(losses(first)[1], rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__start_from": "models/trained/epochs/1"}, "is cleared before training: copy it elsewhere first"),
        ({"train__start_from": "nowhere"}, r"nowhere holds no \*\.safetensors"),
        ({"train__patience": 1}, "set train.best_by: val_loss"),
        ({"train__start_from": "from", "train__mode": "full"}, "holds an adapter, train.mode is full"),
        ({"train__start_from": "from", "train__lora__r": 8}, "has r 4, not 8"),
        ({"train__start_from": "from", "train__lora__target_modules": ["q_proj"]}, "does not fit this base"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(kept: Path, make: Make, changes: dict[str, Any], message: str) -> None:
    root = make(**changes)
    shutil.copytree(kept / "models/trained", root / "from")
    with pytest.raises(ParleyError, match=message):
        train.main(root)


def test_an_adapter_for_another_base_is_refused_by_both_names(kept: Path, make: Make) -> None:
    from dataclasses import replace

    root = make(train__start_from="from")
    shutil.copytree(kept / "models/trained", root / "from")
    base = read_base(root / "models/base")
    write_base(root / "models/base", replace(base, template="another"))
    with pytest.raises(ParleyError, match=r"an adapter for parley-tiny .*models/base is another parley-tiny"):
        train.main(root)
    config = json.loads((root / "from/adapter_config.json").read_text())
    (root / "from/adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "gpt2"}))
    with pytest.raises(ParleyError, match=r"an adapter for gpt2 .*parley-tiny"):
        train.main(root)


def test_no_pickled_weights_are_gone_on_from(kept: Path, make: Make) -> None:
    root = make(train__start_from="from")
    shutil.copytree(kept / "models/trained", root / "from")
    (root / "from/adapter_model.safetensors").rename(root / "from/adapter_model.bin")
    with pytest.raises(ParleyError, match=r"pickled weights \(adapter_model.bin\)"):
        train.main(root)
    assert sha256_tree(root / "from")
