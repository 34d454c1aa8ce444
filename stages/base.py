"""base: the base model, trained here or pinned, with the chat template that every later stage uses.

in    nothing; or the folder or the Hub id in model.name
out   models/base (tokenizer, base.json; weights when embedded), metrics/base.json
by    params `seed`, `model`, `base`
run   python -m stages.base
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from parley import embedded
from parley.errors import ParleyError
from parley.files import publish, write_json
from parley.modeling import hub
from parley.modeling.families import read_template, set_template, tokens_of
from parley.modeling.models import Base, Model, weight_sums, write_base
from parley.params import Section, read_section, read_value
from parley.stage import run

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PADS = ["<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>", "<unk>"]  # best first


class Settings(Section):
    """Section `base`: the embedded base model."""

    steps: int = Field(ge=1, le=5000)
    conversations: int = Field(ge=500, le=100_000)


def main(root: Path) -> None:
    """Reads the settings, makes models/base by the kind of model.name, writes its figures."""
    model = read_section(root, "model", Model)
    settings = read_section(root, "base", Settings)
    seed = read_value(root, "seed", int)
    with publish(root / "models/base") as folder:
        folder.mkdir()
        if model.name == embedded.NAME:
            base, figures = make_embedded(root, folder, model, settings, seed)
        elif (root / model.name).expanduser().is_dir():
            base, figures = take_local(root, folder, model, (root / model.name).expanduser().resolve())
        else:
            base, figures = take_hub(root, folder, model)
        write_base(folder, base)
    write_json(
        root / "metrics/base.json",
        {"kind": base.kind, "name": base.name, "revision": base.revision, "template": base.template, **figures},
    )


def make_embedded(root: Path, folder: Path, model: Model, settings: Settings, seed: int) -> tuple[Base, dict[str, Any]]:
    """parley-tiny, trained into `folder`."""
    template, text = read_template("chatml" if model.template == "auto" else model.template, root)
    figures = embedded.build(
        folder,
        text,
        tokens=tokens_of(text),
        seed=seed,
        steps=settings.steps,
        conversations=settings.conversations,
        threads=model.threads,
    )
    return Base(model.name, "embedded", "", "", template, weight_sums(folder)), figures


def take_local(root: Path, folder: Path, model: Model, source: Path) -> tuple[Base, dict[str, Any]]:
    """The tokenizer of a model folder; its weights stay there, their sums are recorded."""
    if (source / "adapter_config.json").is_file() and not (source / "config.json").is_file():
        raise ParleyError(f"model.name: {source} holds an adapter; a base model is wanted: merge it, or name its base")
    weights = weight_sums(source)
    if not weights:
        raise ParleyError(f"model.name: {source} holds no *.safetensors; a transformers model folder is wanted")
    template, added, figures = take_tokenizer(root, folder, model, source)
    return Base(model.name, "local", str(source), "", template, weights, added), figures


def take_hub(root: Path, folder: Path, model: Model) -> tuple[Base, dict[str, Any]]:
    """The tokenizer of a Hub model at one commit; its weights come at train time, from that commit."""
    if model.trust_remote_code and not re.fullmatch(r"[0-9a-f]{40}", model.revision):
        raise ParleyError(
            f"model.trust_remote_code is true and model.revision is {model.revision!r}; code may only run from "
            "a full commit (40 hex digits) that you have read"
        )
    source = hub.snapshot(model.name, model.revision)
    template, added, figures = take_tokenizer(root, folder, model, source)
    return Base(model.name, "hub", model.name, source.name, template, {}, added), figures


def take_tokenizer(
    root: Path, folder: Path, model: Model, source: Path
) -> tuple[str, dict[str, list[int]], dict[str, Any]]:
    """Saves the tokenizer of `source` into `folder` with the effective template; its name, added tokens, figures."""
    from transformers import AutoTokenizer

    config = read_config(model, source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise ParleyError(
            f"model.name: the tokenizer of {model.name} does not load ({type(error).__name__}): a tokenizer.json is "
            "wanted, and no code of its own"
        ) from None
    template, added = set_template(
        tokenizer, model.template, config, root=root, thinking=model.thinking, add_tokens=model.add_tokens
    )
    text_config = config.get("text_config") or config
    set_pad(tokenizer, max(text_config.get("vocab_size") or 0, len(tokenizer) if added else 0) or len(tokenizer))
    context = text_config.get("max_position_embeddings") or tokenizer.model_max_length
    tokenizer.model_max_length = min(tokenizer.model_max_length, context)
    tokenizer.save_pretrained(folder)
    return (
        template,
        added,
        {
            "architecture": (config.get("architectures") or [""])[0],
            "vocabulary": len(tokenizer),
            "context": tokenizer.model_max_length,
            "pad_token": tokenizer.pad_token,
            "end_token": tokenizer.eos_token,
            "added_tokens": list(added),
        },
    )


def read_config(model: Model, source: Path) -> dict[str, Any]:
    """The model's config.json; refused when only code that comes with the model could run it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config: dict[str, Any] = json.loads((source / "config.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        raise ParleyError(
            f"model.name: {model.name} has no readable config.json: it is no transformers model"
        ) from None
    kind = config.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or model.trust_remote_code:
        return config
    if "auto_map" in config:
        raise ParleyError(
            f"model.name: {model.name} needs Python code that comes with it: read that code, then set "
            "model.trust_remote_code: true and model.revision to the full commit that you read"
        )
    raise ParleyError(
        f"model.name: {model.name} is a {kind!r}; a causal language model is wanted, such as llama or qwen2"
    )


def set_pad(tokenizer: "PreTrainedTokenizerBase", size: int) -> None:
    """Gives the tokenizer a pad token among the `size` that the model has: nothing is resized."""
    vocabulary = tokenizer.get_vocab()
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= size:
        known = [token for token in PADS if vocabulary.get(token, size) < size and token != tokenizer.eos_token]
        tokenizer.pad_token = known[0] if known else tokenizer.eos_token


if __name__ == "__main__":
    run("base", main)
