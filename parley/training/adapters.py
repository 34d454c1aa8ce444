"""Adapters: which base one is for, and going on from one. Heavy imports sit inside functions."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from parley.errors import ParleyError
from parley.files import read_json, sha256_file, sha256_tree
from parley.modeling.models import Base, read_base, weight_sums
from parley.training.sft import Train

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel


def sum_start(folder: Path, base_folder: Path, params: Train) -> str:
    """sha256 of the folder of weights that training goes on from; refused when not for this base and `params`."""
    base = read_base(base_folder)
    if not weight_sums(folder):
        raise ParleyError(f"params.yaml: train.start_from: {folder} holds no *.safetensors: name an adapter or a model")
    adapter = folder / "adapter_config.json"
    if adapter.is_file() != (params.mode == "lora"):
        found = "an adapter" if adapter.is_file() else "a full model"
        raise ParleyError(f"params.yaml: train.start_from: {folder} holds {found}, train.mode is {params.mode}")
    if adapter.is_file():
        config = json.loads(adapter.read_bytes())
        name, revision = config.get("base_model_name_or_path"), config.get("revision") or ""
        info = folder / "training_info.json"
        other = info.is_file() and read_json(info)["base"]["sha256"] != sha256_file(base_folder / "base.json")
        if other or (name, revision) != (base.name, base.revision):
            raise ParleyError(
                f"params.yaml: train.start_from: {folder} is an adapter for {name} (revision {revision or 'none'}), "
                f"models/base is {'another ' if other else ''}{base.name} (revision {base.revision or 'none'})"
            )
        wanted = {"r": params.lora.r, "lora_alpha": params.lora.alpha}
        wrong = [f"{key} {config.get(key)}, not {value}" for key, value in wanted.items() if config.get(key) != value]
        if wrong:
            raise ParleyError(f"params.yaml: train.start_from: {folder} has {'; '.join(wrong)} as under train.lora")
    return sha256_tree(folder)


def name_base(config: "PeftConfig", base: Base) -> None:
    """Puts into an adapter's config which base it is for, and nothing that differs from run to run."""
    config.base_model_name_or_path = base.name
    config.revision = base.revision or None
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)  # a set's order differs each run


def load_adapter(model: "PeftModel", folder: Path) -> None:
    """Lays the weights of an adapter over the new ones; raises ParleyError unless each finds its place."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    wrong = [
        name
        for name in {**own, **weights}
        if getattr(own.get(name), "shape", 0) != getattr(weights.get(name), "shape", 1)
    ]
    if wrong:
        raise ParleyError(
            f"params.yaml: train.start_from: {folder} does not fit this base and train.lora: {len(wrong)} weights "
            f"differ, {wrong[0]} first; look at train.lora.target_modules"
        )
    set_peft_model_state_dict(model, weights)
