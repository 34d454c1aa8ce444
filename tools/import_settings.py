"""make recipe FROM=my.yaml: settings of other trainers as a recipe of parley's.

Two shapes are read: LLaMA-Factory's flat YAML (https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams,
0.9.5; also run_sft.sh's options as keys), and the nested YAML of SFT scripts on transformers and peft, with the
sections model, tokenizer, quantization, lora, dataset, training, callbacks. What a key becomes stands in the tables
below: a key of params.yaml, a function, or why nothing is needed. Any other key is taken as a field of SFTConfig or
LoraConfig if it is one that parley leaves to the user; else it is refused, all of them at once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from parley.errors import ParleyError
from parley.params import read_yaml
from parley.recipes import flatten
from parley.training.sft import OWN


@dataclass(frozen=True, slots=True)
class Left:
    """A key that needs no counterpart: why, for the user to read."""

    why: str


@dataclass(slots=True)
class Imported:
    """`values` by dotted key of params.yaml; `left`: what was not taken over and why."""

    values: dict[str, Any] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


Rule = str | Left | Callable[[Any], dict[str, Any]]


def only(*allowed: Any, why: str) -> Callable[[Any], dict[str, Any]]:
    """A rule for a key of which parley has these values alone."""

    def rule(value: Any) -> dict[str, Any]:
        if value not in allowed:
            raise ValueError(f"{value!r}: {why}")
        return {}

    return rule


def _whole(value: Any) -> dict[str, Any]:
    if not float(value).is_integer():
        raise ValueError(f"{value!r}: whole epochs only")
    return {"train.epochs": int(float(value))}


def _scheduler(value: Any) -> dict[str, Any]:
    name = {"constant_with_warmup": "constant"}.get(value, value)
    if name not in ("linear", "cosine", "constant"):
        raise ValueError(f"{value!r}: linear, cosine or constant")
    return {"train.scheduler": name}


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]


def _trackers(value: Any) -> dict[str, Any]:
    return {"runtime.report_to": [name for name in _names(value) if name not in ("none", "None", "")]}


def _bits(value: Any) -> dict[str, Any]:
    if value not in (4, True, False, None):
        raise ValueError(f"{value!r}: 4 bits (nf4) or none")
    return {"train.quantization": "nf4" if value else "none"}


def _modules(value: Any) -> dict[str, Any]:
    names = _names(value)
    return {"train.lora.target_modules": "all-linear" if names in (["all"], ["all-linear"]) else names}


def _best(value: Any) -> dict[str, Any]:
    wanted = value.get("enabled", True) if isinstance(value, Mapping) else value
    return {"train.best_by": "val_loss"} if wanted else {}


def _stopping(value: Any) -> dict[str, Any]:
    patience = value.get("patience", 3) if isinstance(value, Mapping) else 3
    best = _best(value)
    return {"train.patience": int(patience), **best} if best else {}


def _skip_process(value: Any) -> dict[str, Any]:
    if not value:
        raise ValueError(f"{value!r}: the five steps are those of `make recipe NAME=agent`; set its other keys there")
    return {"convert.transforms": []}


def _deepspeed(value: Any) -> dict[str, Any]:
    if not value:
        return {}
    path = Path(str(value))
    if path.is_file():
        zero = json.loads(path.read_bytes()).get("zero_optimization", {})
        stage, offload = int(zero.get("stage", 0)), "offload_param" in zero or "offload_optimizer" in zero
    else:  # by the names of LLaMA-Factory's examples
        stage = next((stage for stage in (2, 3) if f"z{stage}" in path.stem or f"zero{stage}" in path.stem), 0)
        offload = "offload" in path.stem
    name = {(2, False): "zero2", (3, False): "zero3", (3, True): "zero3_offload"}.get((stage, offload))
    if name is None:
        raise ValueError(f"{value!r}: put the file into recipes/deepspeed/ and name it in train.strategy")
    return {"train.strategy": name}


def _switch(key: str, when: Any, becomes: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {key: becomes} if value == when else {}


_WRITES = Left("models/trained, models/merged and metrics/ are where parley writes")
_EVALUATES = Left("parley evaluates after every epoch, with train.batch_size")
_KEEPS = Left("runtime.save_steps says how often; train.keep_epochs keeps every epoch")
_CODE = Left("no code of a model's runs unasked: set model.trust_remote_code and a full commit yourself if it has any")
_SPEED = Left("chosen by the device")
_TEMPLATE = Left("the tokenizer's own template is taken (model.template: auto), and the mask made from it is proved")
_ALWAYS = Left("always on")

_COMMON: dict[str, Rule] = {
    "output_dir": _WRITES,
    "overwrite_output_dir": _WRITES,
    "per_device_train_batch_size": "train.batch_size",
    "per_device_eval_batch_size": _EVALUATES,
    "gradient_accumulation_steps": "train.accumulation",
    "learning_rate": "train.lr",
    "num_train_epochs": _whole,
    "warmup_ratio": "train.warmup_ratio",
    "lr_scheduler_type": _scheduler,
    "weight_decay": "train.weight_decay",
    "optim": "train.sft.optim",
    "bf16": _switch("train.precision", True, "bf16"),
    "fp16": _switch("train.precision", True, "fp16"),
    "seed": "seed",
    "gradient_checkpointing": lambda value: {"train.checkpointing": "on" if value else "off"},
    "logging_steps": "runtime.logging_steps",
    "eval_strategy": _EVALUATES,
    "eval_steps": _EVALUATES,
    "save_strategy": _KEEPS,
    "save_steps": "runtime.save_steps",
    "save_total_limit": _KEEPS,
    "load_best_model_at_end": _best,
    "metric_for_best_model": only("eval_loss", "loss", why="the validation loss only"),
    "greater_is_better": only(False, why="the validation loss is better when lower"),
    "report_to": _trackers,
    "run_name": Left("set the tracker's own variable, such as WANDB_NAME"),
    "resume_from_checkpoint": Left("parley goes on from its own checkpoints by itself"),
    "deepspeed": _deepspeed,
    "ddp_timeout": Left("torchrun's own"),
    "dataloader_num_workers": "train.sft.dataloader_num_workers",
}

LLAMA_FACTORY: dict[str, Rule] = {
    **_COMMON,
    "model_name_or_path": "model.name",
    "model_revision": "model.revision",
    "trust_remote_code": _CODE,
    "stage": only("sft", why="parley does supervised fine-tuning"),
    "do_train": only(True, why="parley trains"),
    "finetuning_type": lambda value: {**only("lora", "full", why="lora or full")(value), "train.mode": value},
    "lora_rank": "train.lora.r",
    "lora_alpha": "train.lora.alpha",
    "lora_dropout": "train.lora.dropout",
    "lora_target": _modules,
    "additional_target": lambda value: {"train.lora.modules_to_save": _names(value)},
    "use_rslora": "train.lora.use_rslora",
    "use_dora": "train.lora.use_dora",
    "quantization_bit": _bits,
    "quantization_method": only("bnb", "bitsandbytes", why="bitsandbytes only"),
    "double_quantization": only(True, why="nf4 is always quantised doubly"),
    "dataset": Left("put your files into data/raw, or set ingest.input"),
    "dataset_dir": Left("put your files into data/raw, or set ingest.input"),
    "eval_dataset": Left("validate holds a split out by itself; validate.test_file names one of yours"),
    "val_size": "validate.val_fraction",
    "template": _TEMPLATE,
    "default_system": only("", why="transforms.set_system.text sets a system prompt"),
    "cutoff_len": "encode.max_length",
    "max_samples": "validate.max_samples",
    "packing": "train.packing",
    "neat_packing": Left("packed conversations never see each other"),
    "mask_history": _switch("encode.loss", True, "last_turn"),
    "train_on_prompt": _switch("encode.loss", True, "all"),
    "disable_gradient_checkpointing": lambda value: {"train.checkpointing": "off" if value else "auto"},
    "flash_attn": _SPEED,
    "overwrite_cache": _WRITES,
    "preprocessing_num_workers": "runtime.workers",
    "save_only_model": _KEEPS,
    "plot_loss": Left("the report draws it"),
    "skip_process": _skip_process,
}
# The options of an SFT script around LLaMA-Factory (run_sft.sh), written as keys.
OPTIONS: dict[str, str] = {
    "model": "model_name_or_path",
    "template": "template",
    "output-dir": "output_dir",
    "dataset-name": "dataset",
    "epochs": "num_train_epochs",
    "lr": "learning_rate",
    "batch-size": "per_device_train_batch_size",
    "grad-accum": "gradient_accumulation_steps",
    "cutoff-len": "cutoff_len",
    "finetuning-type": "finetuning_type",
    "deepspeed": "deepspeed",
    "skip-process": "skip_process",
    "config": "overwrite_cache",  # that file is what is imported
}
NESTED: dict[str, Rule] = {
    **{f"training.{name}": rule for name, rule in _COMMON.items()},
    "model.name": "model.name",
    "model.revision": "model.revision",
    "model.trust_remote_code": _CODE,
    "model.use_cache": Left("off while training, on while answering"),
    "tokenizer.padding_side": Left("rows are never padded in training; left when answering"),
    "tokenizer.trust_remote_code": _CODE,
    "quantization.load_in_4bit": _bits,
    "quantization.bnb_4bit_quant_type": only("nf4", why="nf4 only"),
    "quantization.bnb_4bit_compute_dtype": Left("train.precision says what is computed in"),
    "quantization.bnb_4bit_use_double_quant": only(True, why="nf4 is always quantised doubly"),
    "lora.r": "train.lora.r",
    "lora.lora_alpha": "train.lora.alpha",
    "lora.lora_dropout": "train.lora.dropout",
    "lora.target_modules": _modules,
    "lora.bias": "train.lora.bias",
    "lora.task_type": only("CAUSAL_LM", why="causal language models only"),
    "dataset.name": Left(
        "put your files, or a .hub file that names a dataset of the Hub, into data/raw (docs/formats.md)"
    ),
    "dataset.split": Left("all rows of the files are read; a .hub file says which split"),
    "dataset.test_size": "validate.val_fraction",
    "dataset.seed": "seed",
    "dataset.max_length": "encode.max_length",
    "chat_template.template_string": "model.template",
    "training.response_template": _TEMPLATE,
    "training.instruction_template": _TEMPLATE,
    "callbacks.early_stopping": _stopping,
    "callbacks.custom_logging": _ALWAYS,
    "callbacks.memory_monitor": _ALWAYS,
    "callbacks.save_best_model": _best,
    "paths.final_model_dir": _WRITES,
    "save_merged_model": Left("models/merged is always made"),
    "wandb": Left("set W&B's own variables, such as WANDB_PROJECT, and WANDB_API_KEY"),
}
# A section of the nested shape whose further keys are fields of a library -> where they go.
_FIELDS = {"training": "train.sft", "lora": "train.lora", "": "train.sft"}


def import_settings(path: Path) -> Imported:
    """The settings of another trainer's file. Raises ParleyError that lists every key that has no counterpart."""
    given = read_yaml(path)
    nested = any(isinstance(given.get(name), Mapping) for name in ("model", "training", "lora", "dataset"))
    if nested:
        table, found = NESTED, _joined(given)
    else:
        table, found = LLAMA_FACTORY, {OPTIONS.get(name, name): value for name, value in given.items()}
    result, problems = Imported(), []
    for key, value in found.items():
        rule = table.get(key) or _library_field(key)
        try:
            if rule is None:
                raise ValueError("parley has no such setting")
            if isinstance(rule, Left):
                result.left[key] = rule.why
            elif value is not None:
                result.values |= {rule: value} if isinstance(rule, str) else rule(value)
        except (TypeError, ValueError) as error:
            problems.append(f"  {key}: {error}")
    if problems:
        raise ParleyError(
            f"{path}: {len(problems)} settings have no counterpart; take them out, or change them:\n"
            + "\n".join(problems)
        )
    if "lora.task_type" in found or "lora_rank" in found or any(key.startswith("lora.") for key in found):
        result.values.setdefault("train.mode", "lora")
    if not nested and "lora_rank" in found and "lora_alpha" not in found:
        result.values["train.lora.alpha"] = 2 * found["lora_rank"]  # as LLaMA-Factory does
    return result


def _joined(given: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys; the sections whose whole value one rule reads stay together."""
    callbacks = {f"callbacks.{name}": value for name, value in (given.get("callbacks") or {}).items()}
    rest = {name: value for name, value in given.items() if name not in ("callbacks", "wandb")}
    return flatten(rest) | callbacks | ({"wandb": given["wandb"]} if "wandb" in given else {})


def _library_field(key: str) -> str | None:
    """Where a key goes that is a field of SFTConfig or LoraConfig and the user's to set."""
    section, _, name = key.rpartition(".")
    place = _FIELDS.get(section)
    if place is None or (place == "train.sft" and name in OWN):
        return None
    from peft import LoraConfig
    from trl import SFTConfig

    known = {each.name for each in fields(SFTConfig if place == "train.sft" else LoraConfig)}
    return f"{place}.{name}" if name in known else None
