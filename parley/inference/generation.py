"""What a model does with test cases: greedy answers, and the log-probability it gives the reference.

Rows go side by side in batches of like length, the longest first; that changes no row's result. torch is
imported inside the functions.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from parley.conversation import Conversation
from parley.encoding.chat import Template, encode, encode_prompts
from parley.encoding.control import neutralise
from parley.encoding.cutting import shorten
from parley.errors import ParleyError
from parley.evaluation import Case, Finish
from parley.specialists.turn_text import TOKENS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

UNLIMITED = 1 << 30  # context of a model whose config names none


@dataclass(frozen=True, slots=True)
class Prompt:
    """A test case as token ids."""

    ids: list[int]  # up to where the assistant speaks
    reference: list[int]  # the reference's, end token included
    control_tokens: int  # that somebody typed, neutralised
    cut: bool  # the context lost its beginning, or the reference its end, to fit the model


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is chosen."""

    max_new_tokens: int
    temperature: float = 0.0  # 0: always the likeliest token
    top_p: float = 1.0  # of the likeliest tokens, those that together have this probability
    repetition_penalty: float = 1.0  # above 1, tokens that came already are less likely

    def __post_init__(self) -> None:
        wrong = {
            "max_new_tokens": self.max_new_tokens < 1,
            "temperature": self.temperature < 0,
            "top_p": not 0 < self.top_p <= 1,
            "repetition_penalty": self.repetition_penalty <= 0,
        }
        for name in (name for name, is_so in wrong.items() if is_so):
            wanted = {"max_new_tokens": "at least 1", "top_p": "above 0, at most 1"}.get(name, "no less than 0")
            raise ParleyError(f"{name}: found {getattr(self, name):g}, wanted {wanted}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote."""

    text: str  # without end token
    finish: Finish
    tokens: int  # end token included, padding not


NO_ANSWER = Answer("", "none", 0)  # to a case that asks for none


def context_length(model: "PreTrainedModel") -> int:
    """Tokens that the model can see at once."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or UNLIMITED


def prompt_of(template: Template, case: Case, *, max_new_tokens: int, context: int) -> Prompt:
    """The case's ids; prompt and max_new_tokens, and prompt and reference, fit into `context` tokens.

    A context that is too long loses its oldest turns, as in encode; where even the last exchange is too long, its
    first tokens. A reference that needs more than half of the room is cut at its end.
    """
    turns = (*case.context.turns, case.reference)
    whole, found = neutralise(template.control, replace(case.context, turns=turns))
    if not case.asks:
        return _open_turn(template, whole, found)
    (encoded,) = encode(template, [whole])
    start, stop = encoded.spans[-1]
    reference = encoded.ids[start:stop]
    before = replace(whole, turns=whole.turns[:-1])
    room = context - max(max_new_tokens, min(len(reference), context // 2))
    ids, cut = fitted(template, before, room)
    kept = reference[: context - (room if cut else len(ids))]
    return Prompt(ids, kept, found, cut=cut or len(kept) < len(reference))


def fitted(template: Template, conversation: Conversation, room: int) -> tuple[list[int], bool]:
    """The ids after which the assistant speaks, at most `room`, and whether the beginning had to go for that."""
    (ids,) = encode_prompts(template, [conversation])
    if len(ids) <= room:
        return ids, False
    kept = shorten(conversation, lambda part: len(encode_prompts(template, [part])[0]) <= room)
    (shorter,) = encode_prompts(template, [kept or conversation])
    return shorter[-room:], True


def _open_turn(template: Template, whole: Conversation, found: int) -> Prompt:
    """A last turn that is the user's: its newest tokens, as an end-of-turn detector gets them, and the end token."""
    (encoded,) = encode(template, [whole], speaker="user", last=True)
    start, stop = encoded.spans[-1]
    first = max(0, stop - 1 - TOKENS)
    start = max(start, first + 1)  # what is predicted needs a token before it
    return Prompt(encoded.ids[first:start], encoded.ids[start:stop], found, cut=first > 0)


def probabilities(case: Case, logprobs: Sequence[float]) -> dict[str, float]:
    """What recipes ask by name. end: of the end token, where the case's last turn is the user's."""
    return {} if case.asks else {"end": round(math.exp(logprobs[-1]), 6)}


def answers_to(
    model: "PreTrainedModel",
    template: Template,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    batch_size: int,
    done: Callable[[int], object] = lambda rows: None,
) -> list[Answer]:
    """The model's answers, in the prompts' order. `done` hears of every batch's rows."""
    import torch

    stops = set_generation(model, template, sampling)
    answers: dict[int, Answer] = {}
    for rows in _batches([len(prompt.ids) for prompt in prompts], batch_size):
        # On the left, so that every row's answer begins in the same column.
        ids, mask = _padded([prompts[row].ids for row in rows], template.end_id, model.device, left=True)
        with torch.no_grad():
            written = model.generate(input_ids=ids, attention_mask=mask)[:, ids.shape[1] :].tolist()
        for row, tokens in zip(rows, written, strict=True):
            answers[row] = _answer(template, tokens, stops)
        done(len(rows))
    return [answers[row] for row in range(len(prompts))]


def _answer(template: Template, tokens: list[int], stops: list[int]) -> Answer:
    end = next((place for place, token in enumerate(tokens) if token in stops), None)
    text = template.tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if end is None:
        return Answer(text, "length", len(tokens))
    return Answer(text, "stop", end + 1)


def set_generation(model: "PreTrainedModel", template: Template, sampling: Sampling) -> list[int]:
    """The ids that end an answer, once the model's generation config says how it is chosen.

    The config is replaced: a Hub model's own may punish repetition or sample.
    """
    from transformers import GenerationConfig

    stops = stop_ids(model, template)
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0} if sampling.temperature else {}
    model.generation_config = GenerationConfig(
        do_sample=sampling.temperature > 0,
        max_new_tokens=sampling.max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=stops,
        pad_token_id=template.end_id,
        **drawn,
    )
    return stops


def stop_ids(model: "PreTrainedModel", template: Template) -> list[int]:
    """Ids that end an answer: the template's end token, the tokenizer's, and those of the model's generation config."""
    own = model.generation_config.eos_token_id if model.generation_config else None
    found = {template.end_id, template.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    return sorted(token for token in found if token is not None)


def reference_logprobs(
    model: "PreTrainedModel",
    prompts: Sequence[Prompt],
    *,
    batch_size: int,
    done: Callable[[int], object] = lambda rows: None,
) -> list[tuple[float, ...]]:
    """For each prompt the log-probability in nats of each token of its reference, given all before it."""
    import torch

    found: dict[int, tuple[float, ...]] = {}
    for rows in _batches([len(prompt.ids) + len(prompt.reference) for prompt in prompts], batch_size):
        batch = [prompts[row] for row in rows]
        ids, mask = _padded([one.ids + one.reference for one in batch], 0, model.device, left=False)
        # Only the columns that predict a reference: all logits of a large vocabulary do not fit in memory.
        first = min(len(one.ids) for one in batch) - 1
        with torch.no_grad():
            # use_cache=True or no mask would make transformers guess at packing.
            output = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=ids.shape[1] - first)
        for row, one, logits in zip(rows, batch, output.logits, strict=True):
            start = len(one.ids) - 1 - first
            scores = logits[start : start + len(one.reference)].float().log_softmax(-1)
            wanted = torch.tensor(one.reference, device=scores.device)
            found[row] = tuple(round(value, 6) for value in scores.gather(1, wanted[:, None])[:, 0].tolist())
        done(len(rows))
    return [found[row] for row in range(len(prompts))]


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Rows of like length together; the longest first, so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _padded(
    rows: Sequence[list[int]], pad: int, device: "torch.device", *, left: bool
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Ids (rows, longest) and the mask that is 0 on the padding."""
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(len(row))
        ids[place, span] = torch.tensor(row)
        mask[place, span] = 1
    return ids.to(device), mask.to(device)
