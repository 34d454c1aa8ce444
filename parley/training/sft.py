"""Settings of training: section `train` of params.yaml → trl.SFTConfig and peft.LoraConfig.

Their fields pass through by their own names, checked, so that a typing error is not a silent default; what
parley sets itself is refused there, with the key to use. Heavy imports sit inside functions.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from parley.errors import ParleyError, near_misses
from parley.modeling.models import computes_bf16, pick_device
from parley.params import Section
from parley.runtime import Runtime

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import SFTConfig


class Lora(Section):
    """Section `train.lora`: these, and any further field of peft.LoraConfig by its name."""

    model_config = ConfigDict(extra="allow")

    r: int = Field(ge=1, le=256)
    alpha: float = Field(gt=0)
    dropout: float = Field(ge=0, le=0.5)
    target_modules: str | list[str]


class Train(Section):
    """Section `train`."""

    mode: Literal["lora", "full"]
    lr: float = Field(gt=0)
    epochs: int = Field(ge=1, le=20)
    batch_size: int = Field(ge=1)
    accumulation: int = Field(ge=1)
    warmup_ratio: float = Field(ge=0, le=0.3)
    scheduler: Literal["linear", "cosine", "constant"]
    weight_decay: float = Field(ge=0, le=0.3)
    packing: bool
    precision: Literal["auto", "bf16", "fp16", "fp32"]
    quantization: Literal["none", "nf4"]
    lora: Lora
    keep_epochs: bool
    best_by: Literal["last", "val_loss", "separation"]
    patience: int = Field(ge=0, le=20)
    start_from: str = Field(min_length=1)
    deterministic: bool
    strategy: str = Field(min_length=1)
    processes: int = Field(ge=1, le=1024)
    checkpointing: Literal["auto", "on", "off"]
    sft: dict[str, Any]

    @model_validator(mode="after")
    def _names_are_known(self) -> "Train":
        """So that preflight finds what else would only stop here, after the stages before."""
        check_fields(self)
        if self.patience and self.best_by == "last":
            raise ParleyError("params.yaml: train.patience needs a measure of better: set train.best_by: val_loss")
        if self.best_by == "separation" and self.strategy not in ("single", "ddp"):
            raise ParleyError(
                f"params.yaml: train.best_by separation: not with train.strategy {self.strategy}: val_loss"
            )
        if Path(self.start_from).parts[:2] == ("models", "trained"):
            raise ParleyError(
                f"params.yaml: train.start_from: {self.start_from} is cleared before training: copy it elsewhere first"
            )
        return self


# Fields of SFTConfig that parley sets, and the key of params.yaml to use instead ("": none, it follows from the rest).
OWN = {
    "learning_rate": "train.lr",
    "num_train_epochs": "train.epochs",
    "per_device_train_batch_size": "train.batch_size",
    "gradient_accumulation_steps": "train.accumulation",
    "warmup_steps": "train.warmup_ratio",
    "lr_scheduler_type": "train.scheduler",
    "weight_decay": "train.weight_decay",
    "packing": "train.packing",
    "gradient_checkpointing": "train.checkpointing",
    "bf16": "train.precision",
    "fp16": "train.precision",
    "bf16_full_eval": "train.precision",
    "fp16_full_eval": "train.precision",
    "seed": "seed",
    "data_seed": "seed",
    "full_determinism": "train.deterministic",
    "metric_for_best_model": "train.best_by",
    "greater_is_better": "train.best_by",
    "load_best_model_at_end": "train.best_by",
    "deepspeed": "train.strategy",
    "fsdp": "train.strategy",
    "fsdp_config": "train.strategy",
    "max_length": "encode.max_length",
    "assistant_only_loss": "",
    "completion_only_loss": "",
    "model_init_kwargs": "model",
    "trust_remote_code": "model.trust_remote_code",
    "chat_template_path": "model.template",
    "eos_token": "model.template",
    "pad_token": "model.template",
    "save_steps": "runtime.save_steps",
    "save_strategy": "runtime.save_steps",
    "logging_steps": "runtime.logging_steps",
    "logging_strategy": "runtime.logging_steps",
    "report_to": "runtime.report_to",
    **dict.fromkeys(
        [
            *("output_dir", "use_cpu", "use_cache", "disable_tqdm", "logging_nan_inf_filter", "remove_unused_columns"),
            *("dataset_kwargs", "dataset_num_proc", "dataset_text_field", "shuffle_dataset", "truncation_mode"),
            *("packing_strategy", "padding_free", "pad_to_multiple_of", "eval_packing", "per_device_eval_batch_size"),
            *("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "do_train", "do_eval", "do_predict"),
            *("save_only_model", "save_total_limit", "save_on_each_node", "enable_jit_checkpoint", "ignore_data_skip"),
            *("resume_from_checkpoint", "restore_callback_states_from_checkpoint"),
            *("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
            *("hub_revision", "auto_find_batch_size", "label_names", "local_rank", "average_tokens_across_devices"),
        ],
        "",
    ),
}

OWN_LORA = {  # the same of LoraConfig
    "lora_alpha": "train.lora.alpha",
    "lora_dropout": "train.lora.dropout",
    **dict.fromkeys(["task_type", "peft_type", "inference_mode", "base_model_name_or_path", "revision"], ""),
}


def choose_precision(params: Train) -> str:
    """bf16, fp16 or fp32; `auto` asks the hardware what it does well, not the clock."""
    import torch

    on_gpu = pick_device().type == "cuda"
    if params.precision == "fp16" and not on_gpu:
        raise ParleyError(
            "params.yaml: train.precision: fp16 needs a GPU, for its loss scaling: take bf16, fp32 or auto"
        )
    if params.precision != "auto":
        return params.precision
    if on_gpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if computes_bf16() else "fp32"


def check_fields(params: Train) -> None:
    """Raises ParleyError for a name under train.sft or train.lora that is no field, or is parley's to set."""
    if params.sft:
        from trl import SFTConfig

        _check("train.sft", params.sft, dataclasses.fields(SFTConfig), "trl.SFTConfig", OWN)
    if further := params.lora.model_extra:
        from peft import LoraConfig

        _check("train.lora", further, dataclasses.fields(LoraConfig), "peft.LoraConfig", OWN_LORA)


def _check(
    section: str, given: Mapping[str, Any], fields: Sequence[dataclasses.Field], of: str, own: Mapping[str, str]
) -> None:
    known = {field.name for field in fields}
    for name in given:
        if name in own:
            instead = f"set {own[name]} instead" if own[name] else "it follows from the other settings"
            raise ParleyError(f"params.yaml: {section}.{name}: parley sets this: {instead}")
        if name not in known:
            misses = near_misses(name, known - own.keys())
            raise ParleyError(f"params.yaml: {section}.{name}: not a field of {of}{misses}")


def sft_config(
    params: Train, runtime: Runtime, *, precision: str, seed: int, folder: Path, further: Mapping[str, Any]
) -> "SFTConfig":
    """TRL's settings: parley's and `further`, then the user's from train.sft."""
    from trl import SFTConfig

    if "tensorboard" in runtime.report_to:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder.parents[1] / "metrics/timing/tensorboard"))
    own: dict[str, Any] = {
        "output_dir": str(folder),
        "learning_rate": params.lr,
        "num_train_epochs": params.epochs,
        "per_device_train_batch_size": params.batch_size,
        "gradient_accumulation_steps": params.accumulation,
        "warmup_steps": params.warmup_ratio,  # below 1, a share of the steps
        "lr_scheduler_type": "constant_with_warmup" if params.scheduler == "constant" else params.scheduler,
        "weight_decay": params.weight_decay,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "seed": seed,
        "data_seed": seed,
        "full_determinism": params.deterministic and pick_device().type == "cuda",
        "use_cpu": pick_device().type == "cpu",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "max_length": None,
        "remove_unused_columns": False,
        "logging_steps": runtime.logging_steps,
        "logging_nan_inf_filter": False,  # it would log a zero for a loss that is not finite
        "save_strategy": "no",  # parley.training.trainer decides
        "eval_strategy": "no",
        "report_to": runtime.report_to or "none",
        "disable_tqdm": True,
        **further,
    }
    try:
        config = SFTConfig(**{**own, **params.sft})
        config._n_gpu = min(config.n_gpu, 1)  # else Trainer spreads one process over all GPUs, by DataParallel
        return config
    except (TypeError, ValueError) as error:
        raise ParleyError(f"params.yaml: train: {error}") from None


def lora_config(params: Lora, tokens: Mapping[str, list[int]] | None = None) -> "LoraConfig":
    """peft's settings; names of further fields are checked. tokens: rows to train, by the layer that has them."""
    from peft import LoraConfig

    try:
        return LoraConfig(
            r=params.r,
            lora_alpha=params.alpha,
            lora_dropout=params.dropout,
            target_modules=params.target_modules,
            task_type="CAUSAL_LM",
            **{"trainable_token_indices": tokens, **(params.model_extra or {})},
        )
    except (TypeError, ValueError) as error:
        raise ParleyError(f"params.yaml: train.lora: {error}") from None
