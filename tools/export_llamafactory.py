"""make export-llamafactory NAME=mine OUT=folder [FROM=file] [TEMPLATE=name]: data and settings for LLaMA-Factory.

OUT/data/{NAME,NAME_val}.jsonl, dataset_info.json      the splits, or every row of a ShareGPT file
OUT/examples/train_lora/NAME_lora_sft.yaml, .sh        settings from params.yaml
OUT/examples/train_full/NAME_full_sft.yaml, .sh
OUT/examples/deepspeed/ds_zero2.json, ds_zero3.json

OUT is laid out as LLaMA-Factory's own folder is, and may be one: other entries of dataset_info.json stay. Its settings:
src/llamafactory/hparams of https://github.com/hiyouga/LLaMA-Factory (0.9.5).
"""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from parley.errors import ParleyError
from parley.files import publish
from parley.modeling.models import Model, read_base
from parley.params import read_section, read_value
from parley.runtime import Runtime
from parley.training.sft import Train
from stages.encode import Encode
from tools import check_elsewhere, told
from tools.llamafactory_rows import Count, described, read_file, read_split, write_rows

DEEPSPEED = Path(__file__).parent.parent / "recipes/deepspeed"
MODES = ("lora", "full")
ENTRY = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
    "tags": {
        "role_tag": "from",
        "content_tag": "value",
        "user_tag": "human",
        "assistant_tag": "gpt",
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    },
}
# What a model's name holds -> LLaMA-Factory's template; the first that fits. For others its `template` stays unset:
# it then takes the tokenizer's own.
TEMPLATES = {
    "tinyllama": "",
    "qwen3": "qwen3",
    "qwen": "qwen",
    "llama-3": "llama3",
    "llama-2": "llama2",
    "mistral": "mistral",
    "gemma-3": "gemma3",
    "gemma-2": "gemma2",
    "gemma": "gemma",
    "phi-4": "phi4",
    "phi-3": "phi",
    "smollm2": "smollm2",
}
LOSS = {"assistant": {}, "last_turn": {"mask_history": True}, "all": {"train_on_prompt": True}}  # of encode.loss
LORA_FIELDS = {"use_rslora": "use_rslora", "use_dora": "use_dora", "modules_to_save": "additional_target"}


def export(root: Path, name: str, out: Path, *, source: Path | None = None, template: str = "") -> dict[Path, Count]:
    """Writes everything; data file -> its rows. source: a ShareGPT file instead of the splits."""
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise ParleyError(f"NAME={name!r}: letters, digits, _ and - only: it becomes file names and a dataset's name")
    check_elsewhere(root, out, "OUT", "data")
    if source and not source.is_file():
        raise ParleyError(f"FROM={source}: no such file: name a ShareGPT file, or leave FROM out for the splits")
    settings = configured(root, template)
    splits = {name: "train"} if source else {name: "train", f"{name}_val": "val"}
    counts = {}
    for dataset, split in splits.items():
        count = counts[out / f"data/{dataset}.jsonl"] = Count()
        rows = read_file(source, count) if source else read_split(root / f"data/splits/{split}.jsonl")
        joined = settings.get("template", "").startswith("qwen")
        write_rows(out / f"data/{dataset}.jsonl", rows, count, joined=joined)
    add_entries(out / "data/dataset_info.json", splits)
    write_settings(out, name, settings, read_section(root, "train", Train), evaluated=not source)
    for file, ours in (("ds_zero2", "zero2"), ("ds_zero3", "zero3_offload")):
        with publish(out / f"examples/deepspeed/{file}.json") as made:
            made.write_bytes((DEEPSPEED / f"{ours}.json").read_bytes())
    return counts


def configured(root: Path, template: str) -> dict[str, Any]:
    """What LLaMA-Factory's two files of settings have in common, from params.yaml."""
    model, train = read_section(root, "model", Model), read_section(root, "train", Train)
    runtime, encode = read_section(root, "runtime", Runtime), read_section(root, "encode", Encode)
    if encode.loss not in LOSS:
        print(f"export-llamafactory: encode.loss {encode.loss}: LLaMA-Factory has no such loss and trains on answers")
    at = located(root, model)
    found: dict[str, Any] = {
        **at,
        "trust_remote_code": model.trust_remote_code,
        "stage": "sft",
        "do_train": True,
        "dataset_dir": "data",
        **({"template": template} if template else template_for(model, at["model_name_or_path"])),
        "cutoff_len": encode.max_length,
        **LOSS.get(encode.loss, {}),
        "packing": train.packing,
        "neat_packing": train.packing,  # packed conversations don't see each other
        "overwrite_cache": True,
        "per_device_train_batch_size": train.batch_size,
        "gradient_accumulation_steps": train.accumulation,
        "learning_rate": train.lr,
        "num_train_epochs": float(train.epochs),
        "lr_scheduler_type": "constant_with_warmup" if train.scheduler == "constant" else train.scheduler,
        "warmup_ratio": train.warmup_ratio,
        "weight_decay": train.weight_decay,
        "bf16": train.precision in ("auto", "bf16"),
        "fp16": train.precision == "fp16",
        "disable_gradient_checkpointing": train.checkpointing != "on",
        "seed": read_value(root, "seed", int),
        "logging_steps": runtime.logging_steps,
        "save_strategy": "epoch",
        "report_to": ",".join(runtime.report_to) or "none",
    }
    return found | passed_on(train.sft)


def located(root: Path, model: Model) -> dict[str, Any]:
    """Where the base model is: models/base if parley trained it, else as params.yaml or its resolved commit says."""
    folder = root / "models/base"
    if model.name == "parley-tiny" and not (folder / "base.json").is_file():
        raise ParleyError("models/base is not there, and parley-tiny is nowhere else: run `make repro` first")
    base = read_base(folder) if (folder / "base.json").is_file() else None
    if base and base.name == model.name:
        path = str(folder.resolve()) if base.kind == "embedded" else base.source
        return {"model_name_or_path": path} | ({"model_revision": base.revision} if base.revision else {})
    return {"model_name_or_path": model.name} | ({"model_revision": model.revision} if model.revision else {})


def template_for(model: Model, name: str) -> dict[str, str]:
    """LLaMA-Factory's chat template for the model, by its name; {} where it should take the tokenizer's own."""
    if model.name == "parley-tiny" or model.template == "chatml":
        # The same tokens, with calls as Hermes writes them; what LLaMA-Factory calls chatml has another form for them.
        return {"template": "qwen", "default_system": ""}
    found = next((template for part, template in TEMPLATES.items() if part in name.casefold()), "")
    return {"template": found} if found else {}


def passed_on(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of train.sft that are transformers' own; says which are TRL's and stay behind."""
    if not fields:
        return {}
    from transformers import TrainingArguments

    known = {each.name for each in dataclasses.fields(TrainingArguments)}
    for name in fields.keys() - known:
        print(f"export-llamafactory: train.sft.{name} is TRL's and not LLaMA-Factory's: left out")
    return {name: value for name, value in fields.items() if name in known}


def adapter(train: Train) -> dict[str, Any]:
    """Settings of the LoRA file alone."""
    modules = train.lora.target_modules
    found = {
        "lora_rank": train.lora.r,
        "lora_alpha": int(train.lora.alpha),
        "lora_dropout": train.lora.dropout,
        "lora_target": "all" if modules == "all-linear" else modules if isinstance(modules, str) else ",".join(modules),
    }
    if train.quantization == "nf4":
        found |= {"quantization_bit": 4, "quantization_method": "bnb"}
    for name, value in (train.lora.model_extra or {}).items():
        if name in LORA_FIELDS:
            found[LORA_FIELDS[name]] = ",".join(value) if isinstance(value, list) else value
        else:
            print(f"export-llamafactory: train.lora.{name} has no counterpart in LLaMA-Factory: left out")
    return found


def write_settings(out: Path, name: str, settings: Mapping[str, Any], train: Train, *, evaluated: bool) -> None:
    """examples/train_{lora,full}/NAME_{lora,full}_sft.yaml, and a script that runs each."""
    evaluation = {
        "eval_dataset": f"{name}_val",
        "per_device_eval_batch_size": settings["per_device_train_batch_size"],
        "eval_strategy": "epoch",
    }
    for mode in MODES:
        values = {
            **settings,
            "dataset": name,
            "output_dir": f"saves/{name}/{mode}/sft",
            "finetuning_type": mode,
            **(adapter(train) if mode == "lora" else {}),
            **(evaluation if evaluated else {}),
        }
        path = out / f"examples/train_{mode}/{name}_{mode}_sft"
        with publish(path.with_suffix(".yaml")) as made, made.open("w", encoding="utf-8") as handle:
            handle.write(f"# From parley's params.yaml. In the folder above examples: {command(name, mode)}\n")
            YAML().dump(values, handle)
        with publish(path.with_suffix(".sh")) as made:
            made.write_text(f'#!/bin/sh\ncd "$(dirname "$0")/../.." && exec {command(name, mode)} "$@"\n')
            made.chmod(0o755)


def add_entries(path: Path, splits: Mapping[str, str]) -> None:
    """dataset_info.json with an entry for each file of rows, and whatever it held before."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError:
        raise ParleyError(f"{path}: not JSON: mend or remove it") from None
    found |= {dataset: {"file_name": f"{dataset}.jsonl", **ENTRY} for dataset in splits}
    with publish(path) as made:
        made.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def command(name: str, mode: str) -> str:
    """What trains."""
    return f"llamafactory-cli train examples/train_{mode}/{name}_{mode}_sft.yaml"


def main() -> None:
    name, out, source, template = sys.argv[1:]
    with told("export-llamafactory", folder="OUT"):
        if not name or not out:
            raise ParleyError("NAME= or OUT= is missing: make export-llamafactory NAME=mine OUT=../for-llamafactory")
        counts = export(Path(), name, Path(out), source=Path(source) if source else None, template=template)
    for path, count in counts.items():
        print(f"export-llamafactory: {path}: {count.written} rows")
        if count.left_out:
            print(f"  {count.left_out.total()} left out, which LLaMA-Factory would skip: {described(count)}")
        if count.weighted:
            print(f"  {count.weighted} rows weigh their turns, which LLaMA-Factory can't: it trains on each the same")
    print(f"To train: cd {out}")
    for mode in MODES:
        print(f"  {command(name, mode)}")
    print(f"On several GPUs: FORCE_TORCHRUN=1 {command(name, 'full')} deepspeed=examples/deepspeed/ds_zero3.json")
    print("Without a GPU: add use_cpu=true")


if __name__ == "__main__":
    main()
