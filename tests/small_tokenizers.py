"""Tokenizers with a family's control tokens and its chat template, made at once and without any file."""

import re
from collections.abc import Sequence
from pathlib import Path

import trl
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

OURS = Path(__file__).parents[1] / "parley/templates"
TRL = Path(trl.__file__).parent / "chat_templates"
TOKENS = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "livekit": ["<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>"],
    "zephyr": [],
    "llama2": [],
    "alpaca": [],
    "qwen2_5": ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"],
    "qwen3": ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"],
    "qwen3_instruct_2507": ["<|im_start|>", "<|im_end|>"],
    "llama3": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "llama3_1": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "llama3_2": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "gemma": ["<start_of_turn>", "<end_of_turn>"],
    "gemma3": ["<start_of_turn>", "<end_of_turn>"],
    "phi3": ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    "phi3_5": ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    "cohere": ["<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"],
    "lfm2": ["<|im_start|>", "<|im_end|>"],
    "glm4moe": ["<|user|>", "<|assistant|>", "<|observation|>", "<think>", "</think>"],
}


def source_of(name: str, *, original: bool = False) -> str:
    """The text of one of our templates or of TRL's (`original`: as the model's makers have it)."""
    ours = OURS / f"{name}.jinja"
    path = ours if ours.is_file() else TRL / f"{name}{'' if original else '_training'}.jinja"
    path = path if path.is_file() else TRL / f"{name}.jinja"  # without markers, and TRL has no other
    return path.read_text(encoding="utf-8")


def unmarked(source: str) -> str:
    """The template without its comment at the top and its generation markers."""
    source = re.sub(r"^\{#.*?#\}\n?", "", source, flags=re.DOTALL)
    return re.sub(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}", r"{#\1 \2#}", source)


def bytes_tokenizer(tokens: Sequence[str], template: str, *, rstrip: bool = False) -> PreTrainedTokenizerFast:
    """One id a byte, and control tokens: `tokens`, <s>, </s> and <pad>. rstrip: they take the blanks after them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, rstrip=rstrip) for token in tokens])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_of(name: str, source: str = "") -> PreTrainedTokenizerFast:
    """A tokenizer of a family, with its template or another one."""
    # As Phi-3's, whose <|end|> takes the newline after it.
    return bytes_tokenizer(TOKENS[name], source or source_of(name), rstrip=name.startswith("phi"))
