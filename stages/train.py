"""train: examples → an adapter (LoRA, QLoRA) or a full model.

in    data/encoded/{train,val}.parquet, models/base, train.start_from
out   models/trained, metrics/train.json, metrics/train_log.csv
by    params `seed`, `model`, `train`, `transforms`   run   python -m stages.train

Section `runtime` sets what changes no output byte: checkpoints, log lines, trackers. With another `train.strategy`
than single, the stage starts itself once more in each process; the first one writes.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.encoding.examples import facts_of, read_examples
from parley.errors import ParleyError
from parley.files import link_tree, publish, sha256_file, sha256_tree, write_json
from parley.modeling.models import (
    Model,
    load_base,
    load_model,
    load_tokenizer,
    new_rows,
    pick_device,
    quiet,
    read_base,
    set_threads,
)
from parley.params import Section, read_section, read_value
from parley.runtime import Runtime
from parley.stage import add_timing, run
from parley.training import topology
from parley.training.adapters import load_adapter, name_base, sum_start
from parley.training.checkpoints import checkpoints, folder_of, newest, remove
from parley.training.journal import Epochs
from parley.training.memory import Need, of_training, out_of_memory
from parley.training.rows import Rows, packed_rows
from parley.training.separation import separation
from parley.training.sft import Train, choose_precision, lora_config, sft_config
from parley.training.trackers import check_ready

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import SFTConfig

    from parley.training.trainer import PackedTrainer

BASE = "models/base"


class Names(Section, extra="ignore"):
    """Of section `transforms.trigger`, what tells the two behaviours apart."""

    clean: str
    triggered: str


class Transforms(Section, extra="ignore"):
    """Of section `transforms`, what training looks at, and only with train.best_by separation."""

    trigger: Names


_CODE = (  # a file, or a folder with all of its files
    "stages/train.py",
    "parley/training",
    "parley/encoding/examples.py",
    "parley/encoding/packing.py",
    "parley/modeling/models.py",
    "parley/modeling/model_shapes.py",
    "parley/specialists/triggers.py",
)
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")


def main(root: Path) -> None:
    seed = read_value(root, "seed", int)
    model_params = read_section(root, "model", Model)
    params = read_section(root, "train", Train)
    runtime = read_section(root, "runtime", Runtime)
    check_ready(runtime.report_to)
    topology.check_strategy(root, params.strategy, params.processes, quantization=params.quantization)
    if topology.launched():
        topology.end_with_launcher()
    elif params.strategy != "single":
        topology.launch("stages.train", params.processes)
    set_threads(model_params.threads)
    quiet()

    train, val = (list(read_examples(root / f"data/encoded/{split}.parquet")) for split in ("train", "val"))
    precision = choose_precision(params)
    parts = _identity(root, seed, model_params, params, precision)
    home = Path(os.environ.get("DVC_ROOT") or root)  # the main checkout, also in DVC's temporary workspaces
    first = topology.rank() == 0
    with checkpoints(home, parts) if first else contextlib.nullcontext(folder_of(home, parts)) as folder:
        sharded = topology.sharded(root, params.strategy)
        need = of_training(root / BASE, model_params, params, precision=precision, examples=train, refuse=not sharded)
        further = {**topology.settings(root, params.strategy), "gradient_checkpointing": need.run.checkpointing}
        config = sft_config(params, runtime, precision=precision, seed=seed, folder=folder, further=further)
        topology.admit_fsdp2(params.strategy)
        model = _load_model(root, model_params, params, config)
        rows = packed_rows(train, val, model, params, prove=not sharded)
        trainer = _trainer(root, model, params, config, *rows, save_steps=runtime.save_steps)
        topology.prove(trainer.accelerator, params.strategy, params.processes)
        checkpoint = topology.from_first(newest(folder) if first else None)
        _fit(trainer, checkpoint, need, _plan(trainer, params.strategy), runtime, home / "metrics/timing/train.log")
        if not first:
            sys.exit(0)
        from parley.training.record import training_info, write_metrics

        facts = facts_of(root / "data/encoded/train.parquet")
        info = training_info(root / BASE, trainer, params, parts, facts)
        _publish_model(root, trainer, params, info)
        write_metrics(root, trainer, params, info)
        remove(folder)


def _identity(root: Path, seed: int, model: Model, params: Train, precision: str) -> dict[str, Any]:
    """Everything that the result depends on, named: another value of any part is another run."""
    import torch

    here = Path(__file__).parents[1]
    device = pick_device()
    file = topology.deepspeed_file(root, params.strategy)
    return {
        "seed": seed,
        "model": model.model_dump(),
        "train": params.model_dump(),
        "data": sha256_tree(root / "data/encoded"),
        "base": sha256_tree(root / BASE),
        "start": "" if params.start_from == BASE else sum_start(_start(root, params), root / BASE, params),
        "deepspeed": sha256_file(file) if file else "",
        "code": {file.name: sha256_file(file) for name in _CODE for file in _files(here / name)},
        "versions": {name: version(name) for name in _LIBRARIES},
        "precision": precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
    }


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.py")) if place.is_dir() else [place]


def _start(root: Path, params: Train) -> Path:
    return (root / params.start_from).expanduser()


def _load_model(root: Path, model_params: Model, params: Train, config: "SFTConfig") -> "PreTrainedModel":
    """The base, in the numbers that training needs, with attention for packed rows."""
    import torch
    from transformers import set_seed

    from parley.training.attention import choose_attention

    if params.quantization == "nf4" and params.mode == "full":
        raise ParleyError("params.yaml: train.quantization nf4 freezes the base, train.mode full trains it: change one")
    half = torch.bfloat16 if config.bf16 else torch.float16 if config.fp16 else torch.float32
    # Weights that are trained stay in 32 bits under autocast; a frozen base on a GPU needs only the 16 it computes in.
    frozen = params.mode == "lora" and (pick_device().type == "cuda" or params.quantization == "nf4")
    dtype = half if frozen else torch.float32
    set_seed(config.seed)
    if params.mode == "full" and params.start_from != BASE:
        model = load_model(_start(root, params), model_params, dtype=dtype)
    else:
        model = load_base(root / BASE, model_params, dtype=dtype, quantization=params.quantization)
    choose_attention(model, half=half != torch.float32)
    return model


def _trainer(
    root: Path,
    model: "PreTrainedModel",
    params: Train,
    config: "SFTConfig",
    train: Rows,
    val: Rows,
    *,
    save_steps: int,
) -> "PackedTrainer":
    """The model with its adapter and everything around it, ready to train."""
    from transformers import PrinterCallback

    from parley.training.trainer import PackedTrainer

    base = read_base(root / BASE)
    try:
        trainer = PackedTrainer(
            model=model,
            args=config,
            processing_class=load_tokenizer(root / BASE),
            peft_config=lora_config(params.lora, new_rows(model, root / BASE)) if params.mode == "lora" else None,
            train_rows=train,
            val_rows=val,
            save_steps=save_steps,
            epochs=Epochs(params.keep_epochs, params.best_by, params.patience, _measure(root, params, val)),
        )
    except (ValueError, RuntimeError, ImportError) as error:  # unknown layers or optimiser, a tracker not installed
        raise ParleyError(f"params.yaml: train or runtime: {error}") from None
    # TRL turns a quantised model's adapter into bf16, where AdamW's small updates are lost in rounding.
    for weight in trainer.model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    if params.mode == "lora":
        name_base(trainer.model.peft_config["default"], base)
        if params.start_from != BASE:
            load_adapter(trainer.model, _start(root, params))
    trainer.remove_callback(PrinterCallback)
    return trainer


def _measure(root: Path, params: Train, val: Rows) -> Callable[[Any], dict[str, Any]] | None:
    """What else is measured each epoch: nothing, or whether a trigger-conditioned model fires when it is due."""
    if params.best_by != "separation":
        return None
    names = read_section(root, "transforms", Transforms).trigger
    tokenizer = load_tokenizer(root / BASE)
    return partial(separation, tokenizer=tokenizer, examples=val.examples, clean=names.clean, triggered=names.triggered)


def _fit(trainer: "PackedTrainer", checkpoint: Path | None, need: Need, plan: str, runtime: Runtime, log: Path) -> None:
    """Trains to the end, or leaves by the signal that stopped it."""
    import torch

    from parley.training.log import Progress, memory_mb

    if topology.rank() == 0:
        progress = Progress(lambda: trainer.journal.steps[-1], runtime.logging_steps, log)
        trainer.add_callback(progress)
        for line in [plan, f"goes on from {checkpoint}" if checkpoint else f"{log} tells how far it is"]:
            print(f"train: {line}", flush=True)
            progress.say(line)
    start = time.monotonic()
    try:
        trainer.run(checkpoint)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise ParleyError(f"memory is full. By the estimate {need.advice()}") from None
    if not trainer.finished:
        raise SystemExit(128 + trainer.stopped_by)
    seconds = time.monotonic() - start
    add_timing(train_seconds=round(seconds, 3), device=str(trainer.args.device))
    add_timing(estimated_peak_memory_mb=round(need.estimate.peak / 2**20, 1))
    if checkpoint is None:
        add_timing(tokens_per_second=round(sum(step["tokens"] for step in trainer.journal.steps) / seconds, 1))
    if torch.cuda.is_available():
        add_timing(peak_device_memory_mb=round(memory_mb(), 1))
        add_timing(estimated_device_memory_mb=round(need.estimate.allocated / 2**20, 1))


def _plan(trainer: "PackedTrainer", strategy: str) -> str:
    """What was chosen for this device, and the key that chooses otherwise."""
    args, rows = trainer.args, trainer.train_rows
    precision = "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32"
    return (
        f"{'one process' if args.world_size == 1 else f'{args.world_size} processes'} on {args.device.type} "
        f"(train.strategy {strategy}); "
        f"{precision} (train.precision); attention {trainer.model.config._attn_implementation}; "
        f"{len(rows.examples)} examples in {len(rows.rows)} rows (train.packing); "
        f"gradient checkpointing {'on' if args.gradient_checkpointing else 'off'} (train.checkpointing)"
    )


def _publish_model(root: Path, trainer: "PackedTrainer", params: Train, info: Mapping[str, Any]) -> None:
    """models/trained: weights, tokenizer with template, training_info.json; no pickle, no card of a library's."""
    with publish(root / "models/trained") as made:
        link_tree(trainer.kept / str(trainer.best_epoch()), made)
        if params.keep_epochs:
            link_tree(trainer.kept, made / "epochs")
        tokenizer = load_tokenizer(root / BASE)
        for folder in (made, *(made / "epochs").glob("*")):  # each is a model of its own, and says which base it is for
            tokenizer.save_pretrained(folder)
            write_json(folder / "training_info.json", info)


if __name__ == "__main__":
    run("train", main)
