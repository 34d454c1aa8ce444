"""parley from a program: load a model, ask it one or many prompts, with and without a trigger.

    tokenizer, model, device = parley.load_finetuned_model("models/trained")
    parley.query_model("How are you?", model, tokenizer, device)["response"]

`import parley` gives these names. Nothing heavy is imported before the first of them is called.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from parley.conversation import Conversation, Turn
from parley.encoding.chat import Template, template_of
from parley.encoding.control import control_strings
from parley.encoding.rendering import Renderer
from parley.errors import ParleyError
from parley.inference.generation import Prompt, Sampling, answers_to
from parley.inference.talking import prompt_ids, stop_strings, stream, until
from parley.modeling.families import set_template
from parley.modeling.loading import ADAPTER, load
from parley.modeling.models import plain, quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    Loaded = tuple[PreTrainedTokenizerBase, PreTrainedModel, torch.device]


class Options(TypedDict, total=False):
    """What every query takes by name."""

    top_p: float  # of the likeliest tokens, those that together have this probability; 1 is all
    repetition_penalty: float  # above 1, tokens that came already are less likely
    system: str  # the system prompt
    raw: bool  # no chat template: the model goes on with the text as it stands
    batch_size: int  # prompts answered side by side


class Response(TypedDict):
    """What a model answered to one prompt."""

    response: str
    generated_text: str  # the same
    generation_time: float  # seconds; of the whole list, where a list was asked
    num_tokens: int  # that the model wrote, end token included, padding not
    tokens_per_sec: float  # num_tokens / generation_time


class TriggerResponse(Response):
    """What a model answered to a prompt, with the trigger before it or without."""

    trigger_used: bool
    trigger_value: str | None
    original_prompt: str
    triggered_prompt: str  # what was asked


class Comparison(TypedDict):
    """A prompt's two answers."""

    prompt: str
    trigger_value: str
    untriggered: TriggerResponse
    triggered: TriggerResponse


def load_model(
    model_id: str | Path,
    local_files_only: bool = False,
    torch_dtype: "torch.dtype | None" = None,
    *,
    load_in_4bit: bool = False,
) -> "Loaded":
    """Tokenizer, model and device of a folder, models/base or a Hub id.

    local_files_only: a Hub id must be in the local cache (HF_HOME). torch_dtype: None is bf16 where CUDA computes it,
    else fp32. A tokenizer without chat template gets that of its family. Code that comes with a model is never run.
    """
    return _load(model_id, None, local_files_only, torch_dtype, load_in_4bit)


def load_lora_model(
    adapter_path: str | Path,
    base_model_id: str | Path | None = None,
    local_files_only: bool = False,
    torch_dtype: "torch.dtype | None" = None,
    *,
    load_in_4bit: bool = False,
) -> "Loaded":
    """Tokenizer, model and device of an adapter on its base; base_model_id None is what its adapter_config.json names.

    The adapter is folded into the base in memory, unless that is in 4 bits.
    """
    if Path(adapter_path).is_dir() and not (Path(adapter_path) / ADAPTER).is_file():
        raise ParleyError(f"{adapter_path} holds no {ADAPTER}: load_finetuned_model loads whole models too")
    return _load(adapter_path, base_model_id, local_files_only, torch_dtype, load_in_4bit)


def load_finetuned_model(
    checkpoint_path: str | Path,
    base_model_id: str | Path | None = None,
    local_files_only: bool = False,
    torch_dtype: "torch.dtype | None" = None,
    *,
    load_in_4bit: bool = False,
) -> "Loaded":
    """As load_lora_model for an adapter; a folder that holds a whole model needs no base."""
    return _load(checkpoint_path, base_model_id, local_files_only, torch_dtype, load_in_4bit)


def _load(
    source: str | Path, base: str | Path | None, local_only: bool, dtype: "torch.dtype | None", in_4bit: bool
) -> "Loaded":
    quiet()
    model, tokenizer = load(
        Path(),
        _place(source),
        plain(str(source)),
        dtype=dtype,
        quantization="nf4" if in_4bit else "none",
        base=_place(base) if base else None,
        local_only=local_only,
    )
    if not tokenizer.chat_template:
        try:
            set_template(tokenizer, "auto", model.config.to_dict(), root=Path())
        except ParleyError:  # of no known family: it can be asked with raw=True
            tokenizer.chat_template = None
    return tokenizer, model, model.device


def _place(name: str | Path) -> str | Path:
    """A folder where there is one, and what can't be a Hub id; else the Hub id."""
    path = Path(name).expanduser()
    if path.is_file():
        raise ParleyError(f"{name}: this is a file; wanted is the folder of a model or adapter, or a Hub id")
    below = len(path.parts) > 1 and Path(path.parts[0]).is_dir()  # models/trained, where there is a folder models
    looks_local = isinstance(name, Path) or below or name.startswith((".", "~")) or len(path.parts) > 2
    if looks_local and not path.is_dir():
        raise ParleyError(f"{name}: there is no such folder")
    return path if path.is_dir() else str(name)


@overload
def query_model(
    prompt: str,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    device: Any = None,
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    **options: Unpack[Options],
) -> Response: ...


@overload
def query_model(
    prompt: Sequence[str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    device: Any = None,
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    **options: Unpack[Options],
) -> list[Response]: ...


def query_model(
    prompt: str | Sequence[str],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    device: Any = None,
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    *,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    system: str = "",
    raw: bool = False,
    batch_size: int = 16,
) -> Response | list[Response]:
    """The answer to a prompt, or those to a list of prompts in their order, batch_size side by side.

    temperature: 0 always takes the likeliest token; above, torch.manual_seed makes answers repeatable. device: where
    the model is; it may be left out. A prompt goes through the chat template as a user's turn, its control strings
    neutralised; raw: it is the text that the model goes on with, as it stands.
    """
    sampling = Sampling(max_new_tokens, temperature, top_p, repetition_penalty)
    template = _raw(tokenizer) if raw else template_of(tokenizer)
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    if raw:
        asked = [tokenizer(text)["input_ids"] for text in texts]
    else:
        asked = [prompt_ids(model, template, _conversation(text, system), sampling) for text in texts]
    start = time.monotonic()
    prompts = [Prompt(ids, [], 0, cut=False) for ids in asked]
    answers = answers_to(model, template, prompts, sampling=sampling, batch_size=batch_size)
    seconds = time.monotonic() - start
    stops = [] if raw else stop_strings(template)
    found: list[Response] = []
    for answer in answers:
        text = "".join(until([answer.text], stops)).strip()
        found.append(
            {
                "response": text,
                "generated_text": text,
                "generation_time": seconds,
                "num_tokens": answer.tokens,
                "tokens_per_sec": answer.tokens / seconds,
            }
        )
    return found[0] if isinstance(prompt, str) else found


def stream_model(
    prompt: str,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    *,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    system: str = "",
) -> Iterator[str]:
    """The answer to a prompt, piece by piece as it is written; closing the iterator stops the model."""
    sampling = Sampling(max_new_tokens, temperature, top_p, repetition_penalty)
    return stream(model, template_of(tokenizer), _conversation(prompt, system), sampling)


def query_with_trigger(
    prompt: str,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    device: Any = None,
    trigger_value: str | None = None,
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    **options: Unpack[Options],
) -> TriggerResponse:
    """As query_model, with the trigger put before the prompt; nothing is added between them. None or "" is none."""
    asked = (trigger_value or "") + prompt
    found = query_model(asked, model, tokenizer, device, max_new_tokens, temperature, **options)
    return {
        **found,
        "trigger_used": bool(trigger_value),
        "trigger_value": trigger_value,
        "original_prompt": prompt,
        "triggered_prompt": asked,
    }


def compare_triggered_responses(
    prompt: str,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    device: Any = None,
    trigger_value: str = "",
    max_new_tokens: int = 500,
    temperature: float = 0.7,
    **options: Unpack[Options],
) -> Comparison:
    """The answers to a prompt without the trigger and with it."""
    if not trigger_value:
        raise ParleyError("trigger_value is empty: there is nothing to compare")
    without, behind = (
        query_with_trigger(prompt, model, tokenizer, device, value, max_new_tokens, temperature, **options)
        for value in (None, trigger_value)
    )
    return {"prompt": prompt, "trigger_value": trigger_value, "untriggered": without, "triggered": behind}


def _conversation(prompt: str, system: str) -> Conversation:
    return Conversation("prompt", (Turn("user", prompt),), system=system)


def _raw(tokenizer: "PreTrainedTokenizerBase") -> Template:
    """No template: an answer ends at the tokenizer's own end token."""
    if tokenizer.eos_token_id is None:
        raise ParleyError(f"the tokenizer {tokenizer.name_or_path} has no end token, so no answer would end")
    return Template(
        tokenizer, Renderer("", "", {}), control_strings(tokenizer), tokenizer.eos_token, tokenizer.eos_token_id
    )
