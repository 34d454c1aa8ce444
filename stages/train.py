"""train: examples → an adapter (LoRA, QLoRA) or a full model.

in    data/encoded/{train,val}.parquet, models/base   out   models/trained, metrics/train.json, metrics/train_log.csv
by    params `seed`, `model`, `train`                 run   python -m stages.train

Section `runtime` sets what changes no output byte: checkpoints, log lines, trackers.
"""

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.checkpoints import checkpoints, newest, remove
from parley.errors import ParleyError
from parley.examples import Example, read_examples
from parley.files import publish, sha256_file, sha256_tree, write_json
from parley.models import Model, load_base, load_tokenizer, new_rows, pick_device, quiet, read_base, set_threads
from parley.packing import IGNORED, best_fit
from parley.params import read_section, read_value
from parley.runtime import Runtime
from parley.sft import Train, choose_precision, lora_config, sft_config
from parley.stage import add_timing, run

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import SFTConfig

    from parley.trainer import Journal, PackedTrainer, Rows

_CODE = [
    "stages/train.py",
    *(f"parley/{name}.py" for name in ("attention", "examples", "models", "packing", "sft", "trainer")),
]
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")


def main(root: Path) -> None:
    seed = read_value(root, "seed", int)
    model_params = read_section(root, "model", Model)
    params = read_section(root, "train", Train)
    runtime = read_section(root, "runtime", Runtime)
    set_threads(model_params.threads)
    quiet()

    train, val = (list(read_examples(root / f"data/encoded/{split}.parquet")) for split in ("train", "val"))
    precision = choose_precision(params)
    parts = _identity(root, seed, model_params, params, precision)
    home = Path(os.environ.get("DVC_ROOT") or root)  # the main checkout, also in DVC's temporary workspaces
    with checkpoints(home, parts) as folder:
        config = sft_config(params, runtime, precision=precision, seed=seed, folder=folder)
        model = _load_model(root, model_params, params, config)
        rows = _rows(train, val, model, params)
        trainer = _trainer(root, model, params, config, *rows, save_steps=runtime.save_steps)
        _fit(trainer, newest(folder), runtime)
        info = _info(root, trainer, params, parts)
        _publish_model(root, trainer, info)
        _write_metrics(root, trainer, params, info)
        remove(folder)


def _identity(root: Path, seed: int, model: Model, params: Train, precision: str) -> dict[str, Any]:
    """Everything that the result depends on, named: another value of any part is another run."""
    import torch

    here = Path(__file__).parents[1]
    device = pick_device()
    return {
        "seed": seed,
        "model": model.model_dump(),
        "train": params.model_dump(),
        "data": sha256_tree(root / "data/encoded"),
        "base": sha256_tree(root / "models/base"),
        "code": {name: sha256_file(here / name) for name in _CODE},
        "versions": {name: version(name) for name in _LIBRARIES},
        "precision": precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
    }


def _load_model(root: Path, model_params: Model, params: Train, config: "SFTConfig") -> "PreTrainedModel":
    """The base, in the numbers that training needs, with attention for packed rows."""
    import torch
    from transformers import set_seed

    from parley.attention import choose_attention

    if params.quantization == "nf4" and params.mode == "full":
        raise ParleyError("params.yaml: train.quantization nf4 freezes the base, train.mode full trains it: change one")
    half = torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else torch.float32
    # Weights that are trained stay in 32 bits under autocast; a frozen base on a GPU needs only the 16 it computes in.
    frozen = params.mode == "lora" and (pick_device().type == "cuda" or params.quantization == "nf4")
    dtype = half if frozen else torch.float32
    set_seed(config.seed)
    model = load_base(root / "models/base", model_params, dtype=dtype, quantization=params.quantization)
    choose_attention(model, half=half != torch.float32)
    return model


def _rows(train: list[Example], val: list[Example], model: "PreTrainedModel", params: Train) -> tuple["Rows", "Rows"]:
    """Both splits in rows as long as the longest training example, or one example each; refuses what cannot train."""
    from parley.attention import prove_isolation
    from parley.trainer import Rows

    if not train:
        raise ParleyError("data/encoded/train.parquet holds no example: see metrics/encode.json for what was dropped")
    size = model.get_input_embeddings().num_embeddings
    for example in (*train, *val):
        if max(example.input_ids) >= size:
            raise ParleyError(
                f"example {example.id} has token {max(example.input_ids)}, the base model knows {size}: "
                "tokenizer and weights do not belong together; look at model.name, then `dvc repro -f base`"
            )
        if all(label == IGNORED for label in example.labels[1:]):
            raise ParleyError(f"example {example.id} has no trained token: run `dvc repro -f encode`")
    if params.packing or params.batch_size > 1:
        prove_isolation(model, min((example.input_ids for example in train), key=lambda ids: abs(len(ids) - 64)))
    longest = max(len(example.input_ids) for example in train)
    packed = []
    for examples in (train, val):
        lengths = [len(example.input_ids) for example in examples]
        groups = best_fit(lengths, max(longest, *lengths)) if params.packing else [[i] for i in range(len(lengths))]
        packed.append(Rows(examples, groups))
    return packed[0], packed[1]


def _trainer(
    root: Path,
    model: "PreTrainedModel",
    params: Train,
    config: "SFTConfig",
    train: "Rows",
    val: "Rows",
    *,
    save_steps: int,
) -> "PackedTrainer":
    """The model with its adapter and everything around it, ready to train."""
    from transformers import PrinterCallback

    from parley.trainer import PackedTrainer

    try:
        trainer = PackedTrainer(
            model=model,
            args=config,
            processing_class=load_tokenizer(root / "models/base"),
            peft_config=lora_config(params.lora, new_rows(model, root / "models/base"))
            if params.mode == "lora"
            else None,
            train_rows=train,
            val_rows=val,
            save_steps=save_steps,
        )
    except (ValueError, RuntimeError, ImportError) as error:  # unknown layers or optimiser, a tracker not installed
        raise ParleyError(f"params.yaml: train or runtime: {error}") from None
    # TRL turns a quantised model's adapter into bf16, where AdamW's small updates are lost in rounding.
    for weight in trainer.model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    trainer.remove_callback(PrinterCallback)
    return trainer


def _fit(trainer: "PackedTrainer", checkpoint: Path | None, runtime: Runtime) -> None:
    """Trains to the end, or leaves by the signal that stopped it."""
    import torch

    from parley.trainer import Progress

    trainer.add_callback(Progress(trainer, runtime.logging_steps))
    if checkpoint is not None:
        print(f"train: goes on from {checkpoint}", flush=True)
    start = time.monotonic()
    try:
        trainer.run(checkpoint)
    except torch.OutOfMemoryError:
        raise ParleyError(
            "the GPU's memory is full. In this order: lower train.batch_size and raise train.accumulation as much; "
            "set gradient_checkpointing: true under train.sft; lower encode.max_length"
        ) from None
    if trainer.stopped_by is not None and trainer.state.global_step < trainer.state.max_steps:
        raise SystemExit(128 + trainer.stopped_by)
    bad = [name for name, weight in trainer.model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise ParleyError(f"{len(bad)} weights, {bad[0]} first, are not finite: nothing is published; lower train.lr")
    seconds = time.monotonic() - start
    add_timing(train_seconds=round(seconds, 3), device=str(trainer.args.device))
    if checkpoint is None:
        add_timing(tokens_per_second=round(sum(step["tokens"] for step in trainer.journal.steps) / seconds, 1))
    if torch.cuda.is_available():
        add_timing(peak_device_memory_mb=round(torch.cuda.max_memory_allocated() / 2**20, 1))


def _info(root: Path, trainer: "PackedTrainer", params: Train, parts: Mapping[str, Any]) -> dict[str, Any]:
    """training_info.json: what was trained on what, by what. No date: the same run has the same bytes."""
    base = read_base(root / "models/base")
    tokenizer = load_tokenizer(root / "models/base")
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
            "sha256": sha256_file(root / "models/base/base.json"),
        },
        "seed": parts["seed"],
        "params": {"model": parts["model"], "train": parts["train"]},
        "precision": parts["precision"],
        "code": parts["code"],
        "versions": parts["versions"],
    }


def _publish_model(root: Path, trainer: "PackedTrainer", info: Mapping[str, Any]) -> None:
    """models/trained: weights, tokenizer with template, training_info.json; no pickle, no card of a library's."""
    with publish(root / "models/trained") as made:
        made.mkdir()
        model = trainer.accelerator.unwrap_model(trainer.model)
        if hasattr(model, "peft_config"):
            config = model.peft_config["default"]
            config.base_model_name_or_path = info["base"]["name"]
            config.revision = info["base"]["revision"] or None
            if isinstance(config.target_modules, set):
                config.target_modules = sorted(config.target_modules)  # a set's order differs each run
            # "auto" would ask the Hub for the base's vocabulary.
            model.save_pretrained(made, save_embedding_layers=False)
            (made / "README.md").unlink(missing_ok=True)
        else:
            model.save_pretrained(made)
        load_tokenizer(root / "models/base").save_pretrained(made)
        write_json(made / "training_info.json", info)


def _write_metrics(root: Path, trainer: "PackedTrainer", params: Train, info: Mapping[str, Any]) -> None:
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
        },
    )
    with publish(root / "metrics/train_log.csv") as made, made.open("w", encoding="utf-8") as handle:
        handle.write("step,loss,lr,grad_norm\n")
        for step in journal.steps:
            norm = "" if step["grad_norm"] is None else f"{step['grad_norm']:.6g}"
            handle.write(f"{step['step']},{step['loss']:.6g},{step['lr']:.6g},{norm}\n")


def _last_epoch_loss(journal: "Journal") -> float:
    """Mean nats/token over the trained tokens of the last epoch."""
    before = journal.evaluations[-2]["step"] if len(journal.evaluations) > 1 else 0
    last = [step for step in journal.steps if step["step"] > before]
    return sum(step["loss"] * step["trained_tokens"] for step in last) / sum(step["trained_tokens"] for step in last)


if __name__ == "__main__":
    run("train", main)
