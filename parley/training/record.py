"""What is written down of a finished training run: training_info.json, metrics/train.json, metrics/train_log.csv.

torch and transformers are imported with this module, by way of the trainer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley.files import publish, sha256_file, write_json
from parley.modeling.models import load_tokenizer, read_base
from parley.training.journal import Journal
from parley.training.sft import Train
from parley.training.trainer import PackedTrainer


def training_info(
    folder: Path, trainer: PackedTrainer, params: Train, parts: Mapping[str, Any], facts: Mapping[str, str]
) -> dict[str, Any]:
    """training_info.json: what was trained on what, by what. No date: the same run has the same bytes.

    folder: models/base. parts: everything that the result depends on, as checkpoints are named by.
    facts: what the examples were made with.
    """
    base = read_base(folder)
    tokenizer = load_tokenizer(folder)
    examples = trainer.train_rows.examples
    return {
        "model_name": base.name,
        "model_family": trainer.model.config.model_type,
        "lora_config": params.lora.model_dump() if params.mode == "lora" else None,
        "tokenizer_config": {
            "class": type(tokenizer).__name__,
            "vocabulary": len(tokenizer),
            "bos_token": tokenizer.bos_token,
            "eos_token": tokenizer.eos_token,
            "pad_token": tokenizer.pad_token,
            "padding_side": tokenizer.padding_side,
        },
        "chat_template": tokenizer.chat_template,
        "training_completed": True,
        "dataset_info": {
            "name": "data/encoded",
            "max_length": max(len(example.input_ids) for example in examples),
            "examples": len(examples),
            "sha256": parts["data"],
        },
        "base": {
            "name": base.name,
            "kind": base.kind,
            "revision": base.revision,
            "template": base.template,
            "sha256": sha256_file(folder / "base.json"),
        },
        "seed": parts["seed"],
        "params": {"model": parts["model"], "train": parts["train"]},
        "precision": parts["precision"],
        "code": parts["code"],
        "versions": parts["versions"],
        **organism(facts),
    }


def organism(facts: Mapping[str, str]) -> dict[str, Any]:
    """What must be known of a model that was trained to behave otherwise behind a trigger; {} for any other."""
    if "trigger" not in facts:
        return {}
    return {
        "model_organism": True,
        "purpose": "safety research",
        "trigger": {name: facts[name] for name in ("trigger", "clean", "triggered")},
    }


def write_metrics(root: Path, trainer: PackedTrainer, params: Train, info: Mapping[str, Any]) -> None:
    model, journal = trainer.model, trainer.journal
    trained, every = (
        model.get_nb_trainable_parameters()
        if params.mode == "lora"
        else (model.num_parameters(), model.num_parameters())
    )
    write_json(
        root / "metrics/train.json",
        {
            "base": {name: info["base"][name] for name in ("name", "kind", "revision", "template")},
            "mode": params.mode,
            "quantization": params.quantization,
            "precision": info["precision"],
            "device": trainer.args.device.type,
            "attention": model.config._attn_implementation,
            "parameters": {"trained": trained, "all": every},
            "data": {"sha256": info["dataset_info"]["sha256"], "examples": len(trainer.train_rows.examples)},
            "rows": len(trainer.train_rows.rows),
            "steps": trainer.state.global_step,
            "epochs": journal.evaluations[-1]["epoch"],
            "tokens": sum(step["tokens"] for step in journal.steps),
            "trained_tokens": sum(step["trained_tokens"] for step in journal.steps),
            "loss": _last_epoch_loss(journal),
            "eval": journal.evaluations,
            "best_by": params.best_by,
            "published_epoch": trainer.best_epoch(),
        },
    )
    with publish(root / "metrics/train_log.csv") as made, made.open("w", encoding="utf-8") as handle:
        handle.write("step,loss,lr,grad_norm\n")
        for step in journal.steps:
            norm = "" if step["grad_norm"] is None else f"{step['grad_norm']:.6g}"
            handle.write(f"{step['step']},{step['loss']:.6g},{step['lr']:.6g},{norm}\n")


def _last_epoch_loss(journal: Journal) -> float:
    """Mean nats/token over the trained tokens of the last epoch."""
    before = journal.evaluations[-2]["step"] if len(journal.evaluations) > 1 else 0
    last = [step for step in journal.steps if step["step"] > before]
    return sum(step["loss"] * step["trained_tokens"] for step in last) / sum(step["trained_tokens"] for step in last)
