"""Any model that a person may name, in memory: models/base, a model's folder, an adapter's folder, or a Hub id.

Heavy imports sit inside functions.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from parley.errors import ParleyError
from parley.modeling.hub import snapshot
from parley.modeling.models import Model, load_base, load_model, load_tokenizer, pick_device, read_base

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]

ADAPTER = "adapter_config.json"


def load(
    root: Path,
    source: Path | str,
    params: Model,
    *,
    dtype: "torch.dtype | None" = None,
    quantization: str = "none",
    base: Path | str | None = None,
    local_only: bool = False,
) -> "Loaded":
    """The model and its tokenizer; an adapter is folded into its base in memory, unless that is in 4 bits.

    root: where models/base is. source: a folder, or a Hub id. dtype: None is bf16 where CUDA computes it, else fp32.
    quantization: "none" or "nf4"; an adapter that was trained on 4 bits gets them anyway. base: an adapter's, when it
    is not to be the one that its config names. local_only: a Hub id must be in the local cache.
    """
    dtype = dtype or _precision()
    revision = None
    folder = source
    if isinstance(folder, str):
        folder = snapshot(folder, "", local_only=local_only)
        revision = folder.name  # the commit: weights and tokenizer are then of one revision
        source = folder if local_only else source
    if (folder / "base.json").is_file():
        model, tokenizer = load_base(folder, params, dtype=dtype, quantization=quantization), load_tokenizer(folder)
    elif (folder / ADAPTER).is_file():
        quantization = quantization if quantization != "none" else _quantization(folder)
        below = base or _base_of(root, folder)
        model, tokenizer = load(root, below, params, dtype=dtype, quantization=quantization, local_only=local_only)
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = load_tokenizer(folder)
        _add_stops(model, folder)
        model = _with_adapter(model, source, revision, fold=quantization == "none")
    else:
        model = load_model(source, params, dtype=dtype, revision=revision, quantization=quantization)
        tokenizer = load_tokenizer(folder)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ParleyError(
            f"{source}: its tokenizer has {len(tokenizer)} tokens and the model {rows}: they do not match"
        )
    return model.eval(), tokenizer


def _base_of(root: Path, adapter: Path) -> Path | str:
    """What an adapter's config names as its base: a models/base of that name, beside it or below root, if any.

    Every embedded base has the same name: the one beside the adapter is the one that it was trained on.
    """
    name = json.loads((adapter / ADAPTER).read_bytes())["base_model_name_or_path"]
    for folder in (*(above / "base" for above in adapter.resolve().parents), root / "models/base"):
        if (folder / "base.json").is_file() and read_base(folder).name == name:
            return folder
    if name == "parley-tiny":
        raise ParleyError(f"{adapter} is an adapter for parley-tiny, whose models/base is not here: name its folder")
    return Path(name) if Path(name).is_dir() else name


def _quantization(adapter: Path) -> str:
    """That of the base on which parley trained an adapter; none for adapters of others."""
    info = adapter / "training_info.json"
    found = json.loads(info.read_bytes()) if info.is_file() else {}
    return found.get("params", {}).get("train", {}).get("quantization", "none")


def _add_stops(model: "PreTrainedModel", adapter: Path) -> None:
    """The end tokens that merge, or somebody else, wrote beside an adapter, with the base's own."""
    if (settings := adapter / "generation_config.json").is_file():
        given = [json.loads(settings.read_bytes()).get("eos_token_id"), model.generation_config.eos_token_id]
        stops = {token for one in given for token in (one if isinstance(one, list) else [one])} - {None}
        model.generation_config.eos_token_id = sorted(stops) or None


def _with_adapter(
    model: "PreTrainedModel", source: Path | str, revision: str | None, *, fold: bool
) -> "PreTrainedModel":
    """Folded into 4 bits, an adapter would be rounded to them: then it stays beside its base."""
    from peft import PeftModel

    tuned = PeftModel.from_pretrained(model, source, revision=revision)
    return tuned.merge_and_unload() if fold else tuned


def _precision() -> "torch.dtype":
    """bf16 where CUDA computes it, else fp32."""
    import torch

    return torch.bfloat16 if pick_device().type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
