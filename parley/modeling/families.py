"""Which chat template a base model gets: the named one, its own, or that of its family.

A family is known by its config and its tokens, never by its name: Llama 2, TinyLlama and Llama 3 all say "llama".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.errors import ParleyError, near_misses
from parley.modeling.models import Thinking
from parley.plugins import plugin_file, plugin_names

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TRL = "trl:"  # before the stem of one of TRL's templates


@dataclass(frozen=True, slots=True)
class Family:
    """What a family's models have in common."""

    name: str
    types: tuple[str, ...]  # model_type of config.json
    tokens: tuple[str, ...]  # all of them in the vocabulary
    template: str  # for a model of it that brings none
    config: Mapping[str, int] = field(default_factory=dict)  # further values of config.json


# The first that fits. https://huggingface.co/docs/trl/chat_templates has TRL's.
FAMILIES = (
    Family("llama3", ("llama",), ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "trl:llama3"),
    Family("tinyllama", ("llama",), ("<s>", "</s>"), "zephyr", {"hidden_size": 2048, "num_hidden_layers": 22}),
    Family("llama2", ("llama",), ("<s>", "</s>", "▁[", "INST"), "llama2", {"vocab_size": 32000}),
    Family("qwen3", ("qwen3", "qwen3_moe"), ("<|im_start|>", "<|im_end|>", "<think>"), "trl:qwen3"),
    Family("qwen2.5", ("qwen2", "qwen2_moe"), ("<|im_start|>", "<|im_end|>"), "trl:qwen2_5"),
    Family("gemma", ("gemma", "gemma2"), ("<start_of_turn>", "<end_of_turn>"), "trl:gemma"),
    Family("gemma3", ("gemma3", "gemma3_text"), ("<start_of_turn>", "<end_of_turn>"), "trl:gemma3"),
    Family("phi3", ("phi3",), ("<|user|>", "<|assistant|>", "<|end|>"), "trl:phi3"),
)


def family_of(config: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Family | None:
    """The family of a model by its config.json and its tokenizer's vocabulary; None for one that is not known."""
    vocabulary = tokenizer.get_vocab()
    text = config.get("text_config") or config
    for family in FAMILIES:
        if (
            config.get("model_type") in family.types
            and all(token in vocabulary for token in family.tokens)
            and all(text.get(key) == value for key, value in family.config.items())
        ):
            return family
    return None


def read_template(name: str, root: Path) -> tuple[str, str]:
    """What base.json calls a template, and its text.

    name: a name from parley/templates, trl:NAME, a .jinja file (relative to root), or the template itself.
    """
    if "{%" in name or "{{" in name:
        return "inline", name
    if name.startswith(_TRL):
        texts = _trl_texts()
        if name not in texts:
            raise ParleyError(f"params.yaml: model.template: TRL has no {name!r}{near_misses(name, texts)}")
        return name, texts[name]
    if name.endswith(".jinja"):
        path = (root / name).expanduser()
        if not path.is_file():
            raise ParleyError(f"params.yaml: model.template: there is no file {name}")
        return path.name, path.read_text(encoding="utf-8")
    return name, plugin_file("templates", name, ".jinja", key="model.template").read_text(encoding="utf-8")


def _trl_texts() -> dict[str, str]:
    """trl:NAME -> text of TRL's templates with generation markers."""
    import trl

    files = sorted((Path(trl.__file__).parent / "chat_templates").glob("*_training.jinja"))
    return {_TRL + file.stem.removesuffix("_training"): file.read_text(encoding="utf-8") for file in files}


def tokens_of(template: str) -> list[str]:
    """The control tokens that a template writes: those it declares, else what looks like one (<|name|>)."""
    declared = re.match(r"\{#- tokens:(.*?)-#\}", template)
    found = declared[1].split() if declared else re.findall(r"<\|[^\s|<>'\"{}]+\|>", template)
    return list(dict.fromkeys(found))


def set_template(
    tokenizer: "PreTrainedTokenizerBase",
    name: str,
    config: Mapping[str, Any],
    *,
    root: Path,
    thinking: Thinking = "keep",
    add_tokens: bool = False,
) -> tuple[str, dict[str, list[int]]]:
    """Gives the tokenizer its effective chat template. What base.json calls it, and the tokens added for it.

    auto: the tokenizer's own ("own"), or TRL's variant of it with generation markers ("trl:<family>"), or for a
    tokenizer without one that of its family. Added tokens come with the ids of the pieces that their rows begin as.
    """
    own = tokenizer.chat_template
    if isinstance(own, dict):  # named variants
        tokenizer.chat_template = own = own.get("default")
    added: dict[str, list[int]] = {}
    if name == "auto" and own:
        label = "own" if thinking == "last" else _training_variant(tokenizer)
    else:
        family = family_of(config, tokenizer) if name == "auto" else None
        if name == "auto" and family is None:
            raise ParleyError(
                "model.template: auto, but the base model has no chat template, and its family is not known: name "
                f"one of {', '.join(plugin_names('templates', '.jinja'))}"
            )
        label, text = read_template(family.template if family else name, root)
        added = _add_missing(tokenizer, label, tokens_of(text), add=add_tokens)
        tokenizer.chat_template = text
    if thinking == "off":
        tokenizer.chat_template = "{%- set enable_thinking = false -%}\n" + tokenizer.chat_template
    return label, added


def _training_variant(tokenizer: "PreTrainedTokenizerBase") -> str:
    import trl.chat_template_utils as templates
    from jinja2 import TemplateError

    if templates.has_generation_markers(tokenizer.chat_template):
        return "own"
    try:
        text = templates.get_training_chat_template(tokenizer)
    except (ValueError, TemplateError):
        return "own"  # encode finds the assistant's turns by rendering turn after turn
    if text is None:
        return "own"
    tokenizer.chat_template = text
    return next(name for name, found in _trl_texts().items() if found == text)


def _add_missing(
    tokenizer: "PreTrainedTokenizerBase", label: str, tokens: list[str], *, add: bool
) -> dict[str, list[int]]:
    """Adds the tokens that the tokenizer lacks, or refuses to; each with the ids of its words' pieces."""
    missing = [token for token in tokens if token not in tokenizer.get_vocab()]
    if missing and not add:
        raise ParleyError(
            f"model.template: {label!r} needs {' '.join(missing)}, which the base model does not have: take auto or "
            "another template, or let them be added and trained with model.add_tokens: true"
        )
    # Only the words of <|im_start|>: its signs are in every such token, and would make them all alike.
    words = {token: " ".join(re.findall(r"[^\W_]+", token)) or token for token in missing}
    pieces = {token: tokenizer(text, add_special_tokens=False)["input_ids"] for token, text in words.items()}
    tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    return pieces
